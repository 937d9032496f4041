"""The data folder: where it is, its settings, its keys.

Owns every file in the folder except the log and what a daemon keeps there while it runs (storage-v1 section 1).
Never opens the log, never touches the network.
"""
