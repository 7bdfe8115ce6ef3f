"""Signs users in by the passwords in users.json, and gives everybody the rights that stand there."""

import asyncio
import time
from typing import Any

from jupyterhub.auth import Authenticator

from infra.workbench.hub import users
from infra.workbench.hub.settings import Settings

# Wrong passwords in a row that cost nothing. Each further one doubles the wait, up to four minutes.
_FREE_TRIES = 4
_LONGEST_WAIT = 8


class PasswordAuthenticator(Authenticator):
    """Users with passwords in users.json."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._failed: dict[str, tuple[int, float]] = {}  # wrong tries in a row, and until when none counts

    async def authenticate(self, handler: Any, data: Any) -> str | None:
        """The user's name if the password fits."""
        name, known = data["username"], users.Users.load(Settings.load().folder)
        kept = known[name].password if name in known else None
        # In another thread, since it takes a tenth of a second.
        fits = await asyncio.to_thread(users.fits, data["password"], kept)
        count, until = self._failed.get(name, (0, 0.0))
        if name not in known or time.monotonic() < until:
            return None
        if fits:
            self._failed.pop(name, None)
            return str(name)
        wait = 2 ** min(count + 1 - _FREE_TRIES, _LONGEST_WAIT) if count + 1 > _FREE_TRIES else 0
        self._failed[name] = (count + 1, time.monotonic() + wait)
        return None


def with_rights(authenticator: Any, handler: Any, authentication: dict[str, Any]) -> dict[str, Any] | None:
    """Lets in who is in users.json, whoever checked the password, with the groups and rights that stand there."""
    known = users.Users.load(Settings.load().folder)
    if authentication["name"] not in known:
        authenticator.log.warning("%r is not in users.json", authentication["name"])
        return None
    user = known[authentication["name"]]
    return {**authentication, "groups": list(user.groups), "admin": user.admin}
