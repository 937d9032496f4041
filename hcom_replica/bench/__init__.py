"""Throughput, catch-up, latency and bytes, each beside its floor of the same run: `hcom-replica bench`."""
