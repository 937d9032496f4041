"""The bridge to hcom: reads hcom's database, and hands events to it as a peer of its own relay would.

Owns everything that knows hcom: its token, envelope and snapshots, its database (read-only, never written), and the
loopback MQTT endpoint that its relay worker connects to. The only importer of sqlite3. Specified in hcom-bridge-v1.
"""
