"""Runs MiniStack with two of its bugs fixed. ministack.py starts it as MiniStack's process.

A secret that is created without a value gets a version without one; on AWS it has no version, and so nothing to read
(docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html). Here the version is dropped.

Starting a function registers a session of its role, which first searches all sessions for expired ones. MiniStack
1.5.33 iterates over the dictionary itself while other threads add to it. When two functions start at once, one of them
sometimes fails with "dictionary changed size during iteration". Here the search iterates over a copy.
"""

import time
from typing import Any

from ministack import app
from ministack.services import secretsmanager, sts

for module, name in ((sts, "_evict_expired_sessions"), (secretsmanager, "_store_new_secret")):
    if not callable(getattr(module, name, None)):
        raise SystemExit(
            f"{module.__name__} has changed: check whether infra/local/servers/ministack_server.py is still needed"
        )


def _evict_expired_sessions() -> None:
    now = time.time()
    # Copying a dictionary's items is one step of the interpreter: no other thread can interrupt it.
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


_store_new_secret = secretsmanager._store_new_secret


def _store_without_empty_version(name: str, *args: Any, **kwargs: Any) -> Any:
    made = _store_new_secret(name, *args, **kwargs)
    versions = secretsmanager._secrets[name]["Versions"]
    if all(version["SecretString"] is None and version["SecretBinary"] is None for version in versions.values()):
        versions.clear()
    return made


sts._evict_expired_sessions = _evict_expired_sessions
secretsmanager._store_new_secret = _store_without_empty_version

if __name__ == "__main__":
    app.main()
