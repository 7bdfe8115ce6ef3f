"""Where notebooks are written: `<owner>/<folders>/<name>.ipynb` under a folder, never over what is there."""

import json
import os
import tempfile
import unicodedata
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Protocol

from infra.workbench.zeppelin.note import mapping

# A name may have 255 bytes on Linux; the rest is for " (2)" and the longest ending.
_LONGEST_BYTES = 200


class DestinationError(Exception):
    """Nothing more can be written. The message says where and why."""


def safe(name: str) -> str:
    """The name as one part of a path: no slash, no control character, not hidden, not too long."""
    kept = "".join("_" if char in "/\\" or unicodedata.category(char)[0] == "C" else char for char in name)
    kept = kept.encode()[:_LONGEST_BYTES].decode("utf-8", "ignore").strip()
    return "_" + kept.lstrip(".") if kept.startswith(".") or not kept else kept


class Place(Protocol):
    """Where owners' folders are."""

    def folder(self, owners: list[str]) -> PurePosixPath:
        """The folder for the notes of these owners; perhaps nobody owns them."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """A file's content; None if nothing is there."""

    def create(self, path: PurePosixPath, content: bytes) -> None:
        """Writes a file that is not there yet."""


@dataclass
class Destination:
    """A place for notebooks in which nothing that is there is overwritten."""

    place: Place
    _taken: set[PurePosixPath] = field(default_factory=set)

    def write(self, path: PurePosixPath, content: bytes, note: str) -> tuple[PurePosixPath, str]:
        """Writes a notebook, and says where it is and whether it was `written`, there already (`same`), or `kept`.

        A notebook of the same note that differs was changed since, and is kept. Any other file of this name stays, and
        the notebook is called "name (2)". So a second import changes nothing.
        """
        for number in count(1):
            chosen = path if number == 1 else path.with_name(f"{path.stem} ({number}){path.suffix}")
            if chosen in self._taken:
                continue
            there = self.place.read(chosen)
            if there is None or there == content or _note_of(there) == note:
                self._taken.add(chosen)
                return chosen, self._written(chosen, there, content)
        raise AssertionError("count() has no end")

    def write_beside(self, path: PurePosixPath, content: bytes) -> str:
        """Writes a file beside a notebook, unless there is one, and says what write says."""
        return self._written(path, self.place.read(path), content)

    def _written(self, path: PurePosixPath, there: bytes | None, content: bytes) -> str:
        if there is not None:
            return "same" if there == content else "kept"
        self.place.create(path, content)
        return "written"


@dataclass(frozen=True)
class Folder:
    """A folder of owners' folders."""

    root: Path
    nobodys: str

    def folder(self, owners: list[str]) -> PurePosixPath:
        """The first owner's folder."""
        return PurePosixPath(safe((owners or [self.nobodys])[0]))

    def read(self, path: PurePosixPath) -> bytes | None:
        """A file's content; None if nothing is there."""
        target = self.root / path
        try:
            return target.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            return b""
        except OSError as error:
            raise DestinationError(f"{target} cannot be read: {error.strerror}") from error

    def create(self, path: PurePosixPath, content: bytes) -> None:
        """Writes beside the target and links, so that no reader sees half a file and no file is overwritten."""
        target = self.root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".import-") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o640)
                os.link(file.name, target)
        except OSError as error:
            raise DestinationError(f"{target} cannot be written: {error.strerror}") from error


def _note_of(content: bytes) -> str:
    """The id of the note that a notebook came from."""
    try:
        metadata = mapping(mapping(json.loads(content)).get("metadata"))
    except (ValueError, RecursionError):
        return ""
    return str(mapping(metadata.get("zeppelin")).get("id", ""))
