"""Keeps query results for one slot, and lets one viewer ask while the others wait for the answer.

Superset's own cache keeps a result for a fixed time: one that is fetched just before a tick would hide it for a whole
slot. And fifty viewers who refresh at once would ask fifty times, because nobody has the answer yet.
"""

import secrets
import time
from typing import Any

from flask import Flask, g, has_request_context
from flask_caching.backends.rediscache import RedisCache

SLOT_SECONDS = 900
# How long others wait for the one who asks. After that they ask too.
_WAIT_SECONDS = 60
_POLL_SECONDS = 0.05
# Deletes a lock only if it is still one's own.
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def seconds_left(now: float, settle_seconds: float) -> int:
    """Seconds until the next slot's data is there: results turn `settle_seconds` after each quarter of an hour."""
    return max(1, int(SLOT_SECONDS - (now - settle_seconds) % SLOT_SECONDS))


class SlotCache(RedisCache):  # type: ignore[misc]  # Flask-Caching has no types
    """A Redis cache whose entries all end when the slot's data changes."""

    settle_seconds: float = 0

    @classmethod
    def factory(cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> "SlotCache":
        """Called by Flask-Caching with the settings of DATA_CACHE_CONFIG."""
        cache: SlotCache = super().factory(app, config, args, kwargs)
        cache.settle_seconds = config["SETTLE_SECONDS"]
        app.teardown_request(lambda _: cache.release_all())
        return cache

    def set(self, key: str, value: Any, timeout: int | None = None) -> Any:
        """Keeps a result until the slot's end, or for less if the chart wants less."""
        left = seconds_left(time.time(), self.settle_seconds)
        try:
            return super().set(key, value, timeout=min(timeout, left) if timeout and timeout > 0 else left)
        finally:
            self._release(key)

    def get(self, key: str) -> Any:
        """A result; None if the caller is the one who must ask for it."""
        found = super().get(key)
        # Scripts outside of a request have no end at which a lock is given back.
        if found is not None or not has_request_context() or key in _held():
            return found
        token = secrets.token_hex(8)
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self._write_client.set(self._lock(key), token, nx=True, ex=_WAIT_SECONDS):
            time.sleep(_POLL_SECONDS)
            if (found := super().get(key)) is not None or time.monotonic() > deadline:
                return found
        _held()[key] = token
        # Another may have answered between the first look and the lock.
        if (found := super().get(key)) is not None:
            self._release(key)
        return found

    def release_all(self) -> None:
        """Gives back what a request held, so that a failed query lets the next viewer try at once."""
        for key in list(_held()) if has_request_context() else ():
            self._release(key)

    def _release(self, key: str) -> None:
        if has_request_context() and (token := _held().pop(key, None)):
            self._write_client.eval(_UNLOCK, 1, self._lock(key), token)

    def _lock(self, key: str) -> str:
        return f"{self._get_prefix()}lock:{key}"


def _held() -> dict[str, str]:
    """The locks of this request: key to token."""
    held: dict[str, str] = g.setdefault("slot_cache_locks", {})
    return held
