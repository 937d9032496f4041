"""hcom alone and hcom with hcom-replica, side by side, in the cases in which a relay is tested.

`python -m bench.hcom_comparison` runs each case on both sides, one after the other, with the real hcom on every machine
and a private Mosquitto, and prints one table. Every result is checked against what was written, row by row.
"""
