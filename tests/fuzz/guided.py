"""`python -m tests.fuzz.guided NAME [libFuzzer's options]`: one target, guided by coverage, where atheris is installed.

Atheris is no dependency: `pip install atheris` where it has a wheel. It runs until something is found, or for
`-runs=N`, `-max_total_time=S`. A failure is written to `crash-*`, which libFuzzer runs again when it is named.
"""

from __future__ import annotations

import sys
from contextlib import suppress


def main(arguments: list[str]) -> int:
    """Fuzz one target; returns 2 when that cannot be done."""
    try:
        import atheris
    except ImportError:
        sys.stderr.write("atheris is not installed: pip install atheris\n")
        return 2
    with atheris.instrument_imports(include=["hcom_replica"]):
        from tests.fuzz.targets import TARGETS, target
    if not arguments or arguments[0] not in {one.name for one in TARGETS}:
        sys.stderr.write("targets: " + ", ".join(one.name for one in TARGETS) + "\n")
        return 2
    one = target(arguments[0])
    run = one.make()

    def test(data: bytes) -> None:
        with suppress(*one.errors):
            run(data)

    atheris.Setup([sys.argv[0], *arguments[1:]], test)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
