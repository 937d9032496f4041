"""`python -m hcom_replica`: the same as the `hcom-replica` command."""

from __future__ import annotations

import sys

from hcom_replica.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
