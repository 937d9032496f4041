"""The daemon of a folder whose bridge was changed: started, or told to read its settings again."""

from __future__ import annotations

from hcom_replica.api.control import ask, reload
from hcom_replica.api.replica import Replica
from hcom_replica.daemon import process
from hcom_replica.folder.paths import Folder


def start(folder: Folder) -> None:
    """Start the folder's daemon, or make a running one read what was changed.

    Raises:
        DaemonError: it does not start.
        ConfigError: the folder is in no group, or its settings are not usable.
    """
    pid, _ = ask(folder)
    if pid is None:
        with Replica.in_folder(folder) as replica:
            replica.introduce()
        process.start(folder)
    else:
        reload(folder)
