"""The broker's password in the system's keyring, by the package `keyring`, which need not be installed.

Owns the one place that imports it. What it returns is secret; it is never written anywhere.
"""

from __future__ import annotations

from hcom_replica.errors import ConfigError


def password_in_keyring(service: str, username: str) -> str:
    """Read the password of a user from the keyring's entry for a service.

    Raises:
        ConfigError: there is no keyring here, it does not open, or it has no such entry.
    """
    try:
        import keyring  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        raise ConfigError(
            "the package keyring is not installed", hint="pip install 'hcom-replica[keyring]', or use a password file"
        ) from None
    try:
        password = keyring.get_password(service, username)
    except Exception as error:  # noqa: BLE001 - each backend raises errors of its own
        raise ConfigError(
            f"the system's keyring does not answer: {type(error).__name__}",
            hint="unlock it, or use a password file: relay.password_file",
        ) from None
    if not password:
        raise ConfigError(
            f"the system's keyring has no password of {username} for {service}",
            hint=f"keyring set {service} {username}",
        )
    return str(password)
