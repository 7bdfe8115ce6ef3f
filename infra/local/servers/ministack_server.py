"""Runs MiniStack with one of its bugs fixed. ministack.py starts it as MiniStack's process.

Starting a function registers a session of its role, which first searches all sessions for expired ones. MiniStack
1.5.33 iterates over the dictionary itself while other threads add to it. When two functions start at once, one of them
sometimes fails with "dictionary changed size during iteration". Here the search iterates over a copy.
"""

import time

from ministack import app
from ministack.services import sts


def _evict_expired_sessions() -> None:
    now = time.time()
    # Copying a dictionary's items is one step of the interpreter: no other thread can interrupt it.
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


if not callable(getattr(sts, "_evict_expired_sessions", None)):
    raise SystemExit(
        "ministack.services.sts has changed: check whether infra/local/servers/ministack_server.py is still needed"
    )
sts._evict_expired_sessions = _evict_expired_sessions

if __name__ == "__main__":
    app.main()
