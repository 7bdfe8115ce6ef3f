"""The homes of a workbench's users, as where notebooks go. Root writes there, and follows no link that a user laid."""

from pathlib import PurePosixPath

from infra.workbench.hub import files, sandbox
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import Users
from infra.workbench.zeppelin.destination import DestinationError, safe
from infra.workbench.zeppelin.note import LARGEST_BYTES, NoteError


class Homes:
    """Each owner's home; what belongs to nobody here goes to one user, below the owner's name."""

    def __init__(self, settings: Settings, nobodys: str):
        self._homes = settings.folder / "homes"
        self._settings = settings
        self._users = Users.load(settings.folder)
        self._nobodys = nobodys
        if nobodys not in self._users:
            raise DestinationError(
                f"there is no user {nobodys!r} in the workbench: name whose the notes are that belong to nobody here, as "
                "in OWNER=ana"
            )

    def folder(self, owners: list[str]) -> PurePosixPath:
        """Where the notes of these owners go: to the first who is a user."""
        for name in owners:
            if (user := name.lower()) in self._users:
                return PurePosixPath(user)
        return PurePosixPath(self._nobodys, *(safe(name) for name in owners[:1]))

    def read(self, path: PurePosixPath) -> bytes | None:
        """A file's content; None if nothing is there. What is no file counts as one of somebody else."""
        owner, below = self._below(path)
        try:
            return files.read(self._homes / owner, below, LARGEST_BYTES)[0]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (files.Refused, OSError):
            return b""

    def create(self, path: PurePosixPath, content: bytes) -> None:
        """Writes a file that becomes the user's."""
        owner, below = self._below(path)
        user = self._users[owner]
        try:
            sandbox.prepare(self._settings, user, self._users.groups)
            files.write(self._homes / owner, below, content, uid=user.uid, gid=user.uid, mode=0o660)
        except OSError as error:
            # What one user has laid in the way, such as a link for a folder, is no reason to stop for all.
            raise NoteError(f"cannot be written as {path} into the home: {error.strerror or error}") from error

    def _below(self, path: PurePosixPath) -> tuple[str, str]:
        return path.parts[0], "/".join(path.parts[1:])
