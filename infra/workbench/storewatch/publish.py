"""Publishes a notebook as a page for whom one chooses: its text, tables and pictures as they were last saved.

A page runs nothing and loads nothing from anywhere. Scheduled runs are turned into pages by the same function.
"""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from .errors import StorewatchError, UnavailableError

LARGEST = 20_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
_SECONDS = 60
# Whatever a notebook's output holds, the browser neither runs nor fetches it, also if the file is opened by itself.
_POLICY = "default-src 'none'; img-src data:; font-src data:; media-src data:; style-src 'unsafe-inline'"
# JupyterLab's looks, without what it would fetch: require.js, MathJax, Mermaid, widgets.
_TEMPLATE = f"""{{%- extends 'index.html.j2' -%}}
{{%- block html_head_js -%}}{{%- endblock -%}}
{{%- block jupyter_widgets -%}}{{%- endblock -%}}
{{%- block html_head_js_mathjax -%}}{{%- endblock -%}}
{{%- block html_head_js_mermaidjs -%}}{{%- endblock -%}}
{{%- block html_head -%}}<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{{{{ super() }}}}{{%- endblock -%}}
"""


def page(notebook: Any, title: str) -> str:
    """A notebook, as nbformat reads it, in one piece of HTML."""
    # Imported here: they take a second, and `import storewatch` is in every notebook.
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", raw_template=_TEMPLATE, embed_images=True)
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(html)


def publish(notebook: str | os.PathLike[str], to: Sequence[str] = (), name: str | None = None) -> str:
    """Publishes a notebook as it was last saved, and returns the address of its page.

    `to` names who may read it: users, and groups as `group:ops`. Publishing under the same name replaces the page and its
    readers; `unpublish` takes it back. Nobody gets a right on the notebook, and nobody can run anything as you.
    """
    import nbformat

    file = Path(notebook)
    name = _checked(file.stem if name is None else name)
    if isinstance(to, str):
        raise TypeError(f"to is a list of users and groups: write to=[{to!r}]")
    try:
        found = nbformat.read(file, as_version=4)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no notebook {file}") from None
    except Exception as error:  # noqa: BLE001 (nbformat has many, all of them on the file)
        raise ValueError(f"{file} is no notebook: {error}") from None
    body = page(found, name).encode()
    if len(body) > LARGEST:
        raise ValueError(
            f"the page has {len(body) / 1e6:.0f} MB, and {LARGEST / 1e6:.0f} MB is the most: clear large outputs"
        )
    return str(_ask("PUT", name, to, body)["url"])


def unpublish(name: str) -> None:
    """Takes a page back. Its backup stays for a while, and only the workbench's administrators can read it."""
    _ask("DELETE", _checked(name))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a page: use letters, digits, spaces, dots and dashes, at most 100")
    return name


def _ask(method: str, name: str, to: Sequence[str] = (), body: bytes | None = None) -> Any:
    token, pages = os.environ.get("JUPYTERHUB_API_TOKEN"), os.environ.get("STOREWATCH_PAGES")
    if not token or not pages:
        raise StorewatchError(
            "pages are published from a server of the workbench. For a scheduled run, name its readers in its schedule"
        )
    query = urlencode([("to", one) for one in to])
    headers = {"Authorization": f"token {token}", "Content-Type": "text/html"}
    request = urllib.request.Request(f"{pages}api/{quote(name)}?{query}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise StorewatchError(f"the page was not changed: {_reason(error)}") from None
    except OSError as error:
        raise UnavailableError(
            f"the page was not changed, because the workbench's pages do not answer: {error}"
        ) from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, OSError):
        return f"{error.code} {error.reason}"
