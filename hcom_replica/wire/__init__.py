"""Messages and their bytes: structs, codec, sealing, topic names; pure."""
