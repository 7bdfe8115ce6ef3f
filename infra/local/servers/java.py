"""Finds the Java runtimes on this machine, for the servers written in Java."""

import os
import re
import shutil
from pathlib import Path


def find(oldest: int, program: str = "java") -> dict[int, Path]:
    """The Java homes from version `oldest` on that have the program (`javac` to compile), by version."""
    on_path = shutil.which(program)
    folders = [Path(on_path).resolve().parents[1]] if on_path else []
    folders += sorted(Path("/usr/lib/jvm").glob("*"))
    if os.environ.get("JAVA_HOME"):
        folders.append(Path(os.environ["JAVA_HOME"]))
    found: dict[int, Path] = {}
    for folder in folders:
        # The release file names the version, so no virtual machine has to start.
        if (folder / "bin" / program).exists() and (folder / "release").exists():
            match = re.search(r'^JAVA_VERSION="(\d+)', (folder / "release").read_text(), re.MULTILINE)
            if match and int(match[1]) >= oldest:
                found[int(match[1])] = folder
    return found
