"""Where the traceback of a bug goes: a private file, never the terminal."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback

from hcom_replica import __version__


def report(error: BaseException) -> str:
    """Write what we need to know about a bug to a new file, mode 0600; return its path, or why there is none."""
    text = "".join(traceback.format_exception(error))
    facts = f"hcom-replica {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    words = " ".join(word for word in sys.argv[1:2] if word.isalpha())  # never what may be a token
    try:
        fd, path = tempfile.mkstemp(prefix="hcom-replica-bug-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {facts}command: {words}\n{text}")
    except OSError as failed:
        return f"no file ({failed.strerror})"
    return path
