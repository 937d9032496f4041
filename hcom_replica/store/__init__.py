"""The log on disk: the only package that imports lmdb."""
