"""The real world, for tests and benchmarks: private brokers, processes, a link that can be cut."""
