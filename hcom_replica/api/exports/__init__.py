"""Exporting events for other programs to query: SQLite, Parquet, JSON lines; what is new since the last time, once.

Owns the promise that each event ends up in a target once, whenever the export is killed: how far a target has come is
kept in the target, and moves in one step with its events.
"""
