"""Machines that run only hcom, reached in a group of hcom's own on a broker (hcom-bridge-v1 section 8).

What leaves for them is numbered in `lanes` and written in `snapshots`; what comes from them is read in `peers`, and
what was missed is asked for in `asking`. Which of our devices does all this is decided in `duty`; `carrying` puts it
together.
"""
