"""The command line: one file a topic, printing in one place."""
