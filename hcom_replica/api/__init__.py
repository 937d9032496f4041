"""What a Python program uses: Replica, and the events it gives."""
