"""What integration tests stand on: private brokers, a bad network, real processes, and waiting for a state."""
