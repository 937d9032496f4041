"""The fake world: simulated broker, faults, cluster and invariants, all from one seed."""
