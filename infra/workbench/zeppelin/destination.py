"""Where notebooks are written: `<owner>/<folders>/<name>.ipynb` under a folder, never over what is there."""

import json
import os
import tempfile
import unicodedata
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

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


@dataclass
class Folder:
    """A folder of owners' folders."""

    root: Path
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
            there = self._there(chosen)
            if there is None:
                self._put(chosen, content)
            elif there != content and _note_of(there) != note:
                continue
            self._taken.add(chosen)
            return chosen, "written" if there is None else "same" if there == content else "kept"
        raise AssertionError("count() has no end")

    def write_beside(self, path: PurePosixPath, content: bytes) -> str:
        """Writes a file beside a notebook, unless there is one, and says what write says."""
        if (there := self._there(path)) is None:
            self._put(path, content)
        return "written" if there is None else "same" if there == content else "kept"

    def report(self, content: bytes) -> Path:
        """Writes the import's report, over that of the last import."""
        target = self.root / "import-report.json"
        self._put(PurePosixPath(target.name), content, replace=True)
        return target

    def _there(self, path: PurePosixPath) -> bytes | None:
        target = self.root / path
        try:
            return target.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            return b""
        except OSError as error:
            raise DestinationError(f"{target} cannot be read: {error.strerror}") from error

    def _put(self, path: PurePosixPath, content: bytes, replace: bool = False) -> None:
        """Writes beside the target and links, so that no reader sees half a file and no file is overwritten."""
        target = self.root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".import-", delete=False) as file:
                scratch = Path(file.name)
                try:
                    file.write(content)
                    file.flush()
                    os.fchmod(file.fileno(), 0o640)
                    if replace:
                        os.replace(scratch, target)
                    else:
                        os.link(scratch, target)
                finally:
                    scratch.unlink(missing_ok=True)
        except OSError as error:
            raise DestinationError(f"{target} cannot be written: {error.strerror}") from error


def _note_of(content: bytes) -> str:
    """The id of the note that a notebook came from."""
    try:
        metadata = mapping(mapping(json.loads(content)).get("metadata"))
    except (ValueError, RecursionError):
        return ""
    return str(mapping(metadata.get("zeppelin")).get("id", ""))
