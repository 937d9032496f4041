"""Hostile bytes for every decoder: `make fuzz COUNT=1000000`, and a few thousand in every run of the tests."""
