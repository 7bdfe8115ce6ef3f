"""A Python of the workbench's own environment, as a notebook's kernel is one, that runs what tests give it."""

import json
import os
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.config import ROOT

PACKAGE = ROOT / "infra" / "workbench" / "storewatch"
# Reads one piece of code a line, and answers with what the code left in `result`, printed, warned of or raised.
_WORKER = """
import contextlib, io, json, sys, warnings
import pandas as pd

def plain(value):
    if isinstance(value, pd.DataFrame):
        rows = json.loads(value.to_json(orient="split", date_format="iso", date_unit="us", double_precision=15))
        return {"columns": rows["columns"], "types": [str(one) for one in value.dtypes], "rows": rows["data"]}
    return str(value)

answers = sys.stdout
for line in sys.stdin:
    names, printed, answer = {"pd": pd}, io.StringIO(), {}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(json.loads(line), names)
        except BaseException as error:
            shown = getattr(error, "_render_traceback_", lambda: [repr(error)])()
            shown = [printed.getvalue(), *shown] if printed.getvalue() else shown
            answer["error"] = [type(error).__name__, str(error), type(error.__cause__).__name__, "\\n".join(shown)]
    answer |= {"result": names.get("result"), "printed": printed.getvalue(), "warned": [str(w.message) for w in warned]}
    print(json.dumps(answer, default=plain), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Failure:
    """An exception: its class, its text, the class of what it was raised from, and what a notebook shows of it."""

    kind: str
    message: str
    cause: str
    shown: str


@dataclass(frozen=True)
class Ran:
    """What a piece of code did."""

    result: Any
    printed: str
    warned: list[str]

    @property
    def dicts(self) -> list[dict[str, Any]]:
        """The rows of a data frame."""
        return [dict(zip(self.result["columns"], row, strict=True)) for row in self.result["rows"]]

    @property
    def types(self) -> dict[str, str]:
        """The types of its columns."""
        return dict(zip(self.result["columns"], self.result["types"], strict=True))


class Notebook:
    """The running Python."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process

    def run(self, code: str) -> Ran:
        """Runs code that succeeds."""
        answer = self._ask(code)
        assert "error" not in answer, answer["error"]
        return Ran(answer["result"], answer["printed"], answer["warned"])

    def fail(self, code: str) -> Failure:
        """Runs code that raises."""
        answer = self._ask(code)
        assert "error" in answer, answer
        return Failure(*answer["error"])

    def _ask(self, code: str) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(f"from storewatch import *\n{textwrap.dedent(code)}") + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the notebook's Python has ended"
        return json.loads(line)


def environment(library: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a user's kernel. The package is not seen as a part of the project, as it is not in the workbench."""
    (library / "storewatch").symlink_to(PACKAGE)
    return {"PATH": os.defpath, "PYTHONPATH": str(library), "HOME": str(library), "USER": "ana", **settings}


@contextmanager
def opened(python: str, settings: Mapping[str, str]) -> Iterator[Notebook]:
    """Starts it with settings of the workbench."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(Path(folder), {"MPLBACKEND": "agg", **settings})
        command = [python, "-c", _WORKER]
        with subprocess.Popen(
            command, env=env, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                yield Notebook(process)
            finally:
                if process.stdin:
                    process.stdin.close()
