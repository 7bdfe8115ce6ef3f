"""Finds the Java runtimes of this machine, for the servers that are written in it."""

import os
import re
import shutil
from pathlib import Path


def find(oldest: int, program: str = "java") -> dict[int, Path]:
    """The homes of those that are not older and have the program (`javac` where something is compiled), by version."""
    on_path = shutil.which(program)
    folders = [Path(on_path).resolve().parents[1]] if on_path else []
    folders += sorted(Path("/usr/lib/jvm").glob("*"))
    if os.environ.get("JAVA_HOME"):
        folders.append(Path(os.environ["JAVA_HOME"]))
    found: dict[int, Path] = {}
    for folder in folders:
        # The release file tells the version without starting a virtual machine.
        if (folder / "bin" / program).exists() and (folder / "release").exists():
            match = re.search(r'^JAVA_VERSION="(\d+)', (folder / "release").read_text(), re.MULTILINE)
            if match and int(match[1]) >= oldest:
                found[int(match[1])] = folder
    return found
