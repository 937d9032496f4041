"""CRDTs folded from events: agents, subscriptions and the shared state of scripts (protocol-v1 section 15). Pure.

A fold depends on nothing but the set of events it was given: neither their order nor how often each came.
"""
