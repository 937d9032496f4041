"""Folders and messages of version 1, kept for ever."""
