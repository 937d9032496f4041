"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis's per-example deadline is an assertion about time, and so about the machine: pytest-timeout bounds a
# hanging test instead. All else stays as hypothesis chose it, including its derandomized profile when CI is set.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")
