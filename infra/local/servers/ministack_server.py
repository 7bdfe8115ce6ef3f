"""Runs MiniStack with a mistake of its own mended; started by ministack.py beside it, in MiniStack's own process.

Whatever starts a function registers its role's session, and that first looks through all sessions for expired ones.
MiniStack 1.5.33 does so over the very dictionary that other threads add to: when two functions start at once, one of
them now and then fails with "dictionary changed size during iteration". Here it looks through a copy.
"""

import time

from ministack import app
from ministack.services import sts


def _evict_expired_sessions() -> None:
    now = time.time()
    # Copying a dictionary's items is one step of the interpreter, which no thread comes in between of.
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


if not callable(getattr(sts, "_evict_expired_sessions", None)):
    raise SystemExit(
        "ministack.services.sts is not what it was: see whether infra/local/servers/ministack_server.py is needed"
    )
sts._evict_expired_sessions = _evict_expired_sessions

if __name__ == "__main__":
    app.main()
