"""The checksums of a release's files: written when it is made, checked before it is deployed."""

import hashlib
from pathlib import Path

from infra.errors import DeployError

# In the form of sha256sum, so that `sha256sum -c SHA256SUMS` checks it too.
FILE = "SHA256SUMS"


def write(folder: Path) -> None:
    """Writes the sums of all files in a folder."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    (folder / FILE).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in files))


def check(folder: Path) -> None:
    """Refuses a release in which a file is missing or changed. A checkout has no sums, and there is nothing to check."""
    sums = folder / FILE
    for line in sums.read_text().splitlines() if sums.is_file() else []:
        wanted, _, name = line.partition("  ")
        found = sha256(folder / name) if (folder / name).is_file() else ""
        if found != wanted:
            raise DeployError(
                f"{folder / name} {'was changed' if found else 'is missing'} since the release was made: its SHA-256 is"
                f" {found or 'unknown'}, and {FILE} says {wanted}; unpack the release again"
            )


def sha256(file: Path) -> str:
    """A file's SHA-256 in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
