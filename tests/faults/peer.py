"""Finds the process at the other end of a local connection, so that a test can kill it at that moment."""

import os
from pathlib import Path


def process_of(port: int, peer_port: int, prefix: str) -> int:
    """The function's process that has the connection from one port to another.

    Only finds processes of the deployment with this prefix. Raises ProcessLookupError if it has ended.
    """
    socket = f"socket:[{_inode(port, peer_port)}]"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            held = any(os.readlink(descriptor) == socket for descriptor in (entry / "fd").iterdir())
            variables = (entry / "environ").read_bytes().split(b"\0") if held else []
        except OSError:
            continue  # it has ended, or belongs to another user
        if any(one.startswith(f"AWS_LAMBDA_FUNCTION_NAME={prefix}-".encode()) for one in variables):
            return int(entry.name)
    raise ProcessLookupError(f"no function of {prefix} has port {port}")


def _inode(port: int, peer_port: int) -> str:
    # Fields: number, local address, remote address, state, queues, timer, retransmits, user, timeout, inode.
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(address.partition(":")[2], 16) for address in fields[1:3]] == [port, peer_port]:
            return fields[9]
    raise ProcessLookupError(f"no connection is from port {port} to {peer_port}")
