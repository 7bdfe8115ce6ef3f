"""Files that users own, touched by root.

A user may lay a link wherever root is about to look, and swap a folder for one at any time. So every folder of a path is
opened by itself and no link is followed, and only regular files are read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for the other end of a pipe.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Refused(OSError):
    """What is there is no regular file, or larger than it may be."""


@dataclass(frozen=True)
class Found:
    """A regular file, by its path below the folder that was walked."""

    path: str
    stat: os.stat_result


@contextmanager
def folder(root: Path, path: str = "", *, make: bool = False) -> Iterator[int]:
    """Opens the folder at a path below `root`, whose own path is trusted. With `make`, makes what is missing."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in filter(None, path.split("/")):
            if part in (".", ".."):
                raise Refused(f"{path!r} leads elsewhere")
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=descriptor)
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def walk(root: Path, seen: list[str] | None = None) -> Iterator[Found]:
    """The regular files below a folder, hidden folders left out. Adds the folders that it walked to `seen`."""
    todo = [""]
    while todo:
        path = todo.pop()
        try:
            with folder(root, path) as descriptor, os.scandir(descriptor) as entries:
                if seen is not None:
                    seen.append(path)
                for entry in sorted(entries, key=lambda one: one.name):
                    below = f"{path}/{entry.name}".lstrip("/")
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        todo.append(below)
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            yield Found(below, entry.stat(follow_symlinks=False))
        except OSError as error:
            # It was deleted, or became a link, in between. Anything else must not look as if the files were gone.
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise


def read(root: Path, path: str, most: int) -> tuple[bytes, os.stat_result]:
    """A regular file's content. Refused if it is another thing or too large."""
    parent, _, name = path.rpartition("/")
    with folder(root, parent) as descriptor:
        opened = os.open(name, _READ, dir_fd=descriptor)
    with open(opened, "rb") as stream:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"{path} is no regular file")
        body = stream.read(most + 1)
        if len(body) > most:
            raise Refused(f"{path} has more than {most} bytes")
        return body, os.fstat(opened)


def write(
    root: Path, path: str, body: bytes, *, uid: int, gid: int, mode: int = 0o600, mtime_ns: int | None = None
) -> None:
    """Writes a file in one step, for a user. Folders that are missing become the user's too."""
    parent, _, name = path.rpartition("/")
    above = ""
    for part in filter(None, parent.split("/")):
        _own(root, above, part, uid, gid)
        above = f"{above}/{part}".lstrip("/")
    with folder(root, parent) as descriptor:
        partial = f".{name[:100]}.{os.getpid()}.tmp"
        with suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=descriptor)
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=descriptor)
        try:
            with open(opened, "wb") as stream:
                stream.write(body)
                stream.flush()
                os.fchown(opened, uid, gid)
                os.fchmod(opened, mode)
                if mtime_ns is not None:
                    os.utime(opened, ns=(mtime_ns, mtime_ns))
            os.rename(partial, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=descriptor)
            raise


def remove(root: Path, path: str) -> None:
    """Removes a file, or the link that is in its place."""
    parent, _, name = path.rpartition("/")
    with suppress(FileNotFoundError), folder(root, parent) as descriptor:
        os.unlink(name, dir_fd=descriptor)


def _own(root: Path, above: str, name: str, uid: int, gid: int) -> None:
    with folder(root, above) as descriptor:
        try:
            os.mkdir(name, 0o700, dir_fd=descriptor)
        except FileExistsError:
            return
        made = os.open(name, _FOLDER, dir_fd=descriptor)
        try:
            os.fchown(made, uid, gid)
            # In a group's folder the members may write, and what they make is the group's.
            os.fchmod(made, 0o700 if uid == gid else 0o2770)
        finally:
            os.close(made)
