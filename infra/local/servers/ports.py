"""Gives every server a free port and remembers it, so that a stack keeps its addresses when it restarts."""

import json
import random
import socket
from collections.abc import Set as AbstractSet
from pathlib import Path

from infra.local.config import write_private
from infra.local.errors import StackError

# Below Linux's range for outgoing connections (32768 and up), so that no client takes a free port a second later.
_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it, so that the connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def choose(run_dir: Path, in_use: dict[str, bool]) -> dict[str, int]:
    """A port for each name: the remembered one if it is free or its own server runs on it, else a new one."""
    file = run_dir / "ports.json"
    remembered = _read(file)
    others = {port for stack in run_dir.parent.glob("*/ports.json") if stack != file for port in _read(stack).values()}
    chosen: dict[str, int] = {}
    for name, is_running in in_use.items():
        port = remembered.get(name)
        if port is None or not (is_running or is_free(port)):
            port = any_free(others | set(remembered.values()) | set(chosen.values()))
        chosen[name] = port
    # Also remembers the ports of servers that other commands start.
    if remembered | chosen != remembered:
        write_private(file, json.dumps(remembered | chosen, indent=2) + "\n")
    return chosen


def _read(file: Path) -> dict[str, int]:
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def any_free(taken: AbstractSet[int] = frozenset()) -> int:
    """A port that is free now and not in `taken`, the ports that others claim."""
    for port in random.sample(_RANGE, len(_RANGE)):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port on 127.0.0.1 from {_RANGE.start} to {_RANGE.stop - 1}")
