"""Runs one notebook, inside the sandbox and as its owner: the scheduler gives this file to the sandbox's Python.

    python - NOTEBOOK FOLDER SECONDS PARAMETERS TITLE <run_notebook.py

Writes to FOLDER, as far as it comes: notebook.ipynb with all outputs, page.html, and result.json with what went wrong.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

# More than a page that anybody reads. What is beyond is not kept.
_MOST_OUTPUT = 5_000_000
_LAST_LINES = 12
_CUT = f"\n[Output cut: this notebook printed more than {_MOST_OUTPUT // 1_000_000} MB.]\n"
_PRINTS = ("stream", "display_data", "execute_result", "update_display_data", "error")


class Client(PapermillNotebookClient):
    """Papermill's client, with a kernel that only its own user reaches, and an end to output and time."""

    seconds = 0.0
    late = False  # the time was over

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._printed = 0
        self._cut = False

    def create_kernel_manager(self) -> Any:
        """A manager whose kernel listens on sockets in a folder, not on ports."""
        manager = super().create_kernel_manager()
        manager.transport = "ipc"
        manager.ip = str(Path(os.environ["JUPYTER_RUNTIME_DIR"], f"run-{os.getpid()}"))
        signal.signal(signal.SIGALRM, lambda *_: self._end(manager))
        signal.setitimer(signal.ITIMER_REAL, type(self).seconds)
        return manager

    def process_message(self, message: dict[str, Any], cell: Any, index: int) -> Any:
        """Keeps output up to the limit."""
        if message["msg_type"] in _PRINTS:
            content = message["content"]
            text = content.get("text", "")
            # A notebook's file has each line of text by itself, in quotes and indented.
            self._printed += 100 + len(text) + 10 * text.count("\n")
            self._printed += sum(len(str(value)) for value in content.get("data", {}).values())
            # The error that ends the notebook is kept.
            if self._printed > _MOST_OUTPUT and message["msg_type"] != "error":
                if not self._cut:
                    self._cut = True
                    cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=_CUT))
                return None
        return super().process_message(message, cell, index)

    def _end(self, manager: Any) -> None:
        """Kills the kernel, which the client then notices: nothing that a cell does can hold that up."""
        type(self).late = True
        if manager.provisioner and manager.provisioner.pid:
            with suppress(ProcessLookupError):
                os.kill(manager.provisioner.pid, signal.SIGKILL)


class Engine(NBClientEngine):
    """Papermill's engine with that client."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **more: Any) -> Any:
        """Called by papermill."""
        wanted = {key: more[key] for key in ("log_output",) if key in more}
        return Client(nb_man, kernel_name=kernel_name, startup_timeout=120, timeout=None, **wanted).execute()


def run(notebook: Path, folder: Path, seconds: float, parameters: dict[str, Any]) -> str | None:
    """Runs it, and says what went wrong."""
    Client.seconds = seconds
    papermill_engines.register("storewatch", Engine)
    try:
        execute_notebook(
            str(notebook),
            str(folder / "notebook.ipynb"),
            parameters,
            engine_name="storewatch",
            # Whatever kernel it names: there is one.
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(notebook.parent),
        )
    except PapermillExecutionError as error:
        return "\n".join([*error.traceback, ""]).strip() or f"{error.ename}: {error.evalue}"
    except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
        if Client.late:
            return f"It took longer than {seconds / 60:g} minutes, and was ended. Give it more with timeout_minutes, or less to do."
        if isinstance(error, DeadKernelError) or "Kernel died" in str(error):
            return "Its kernel ended all of a sudden."
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 (no notebook of this form, no kernel: its owner is to read it)
        return f"It could not be run: {type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def _note(found: Any, text: str) -> None:
    """Puts a failure without a traceback into the cell that ran."""
    running = [cell for cell in found.cells if cell.get("metadata", {}).get("papermill", {}).get("start_time")]
    if running and not any(one["output_type"] == "error" for one in running[-1].get("outputs", [])):
        error = nbformat.v4.new_output("error", ename="Ended", evalue=text, traceback=[text])
        running[-1].setdefault("outputs", []).append(error)


def main(notebook: str, folder: str, seconds: str, parameters: str, title: str) -> int:
    """Runs it and writes the results."""
    work = Path(folder)
    error = run(Path(notebook), work, float(seconds), json.loads(parameters))
    out = work / "notebook.ipynb"
    if out.exists():
        found = nbformat.read(out, as_version=4)
        if error:
            _note(found, error)
            nbformat.write(found, out)
        # Imported here: the package takes memory, which the kernel may need until now.
        from storewatch.publish import page

        (work / "page.html").write_text(page(found, title), encoding="utf-8")
    (work / "result.json").write_text(json.dumps({"error": error}))
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
