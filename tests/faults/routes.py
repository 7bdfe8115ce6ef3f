"""Puts a proxy before a server, and functions behind it."""

from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.faults.http import HttpProxy
from tests.faults.listener import Loop

# The services whose calls go through a proxy.
_SERVICES = ("S3", "GLUE", "CLOUDWATCH")
P = TypeVar("P", bound=HttpProxy)


def before(loop: Loop, url: str) -> HttpProxy:
    """A proxy before the server at that address."""
    return before_as(HttpProxy, loop, url)


def before_as(kind: type[P], loop: Loop, url: str) -> P:
    """The same, of a kind of its own."""
    parts = urlsplit(url)
    return kind(loop, parts.hostname or "", parts.port or 80)


def send_through(lambdas: Any, function: str, url: str) -> None:
    """Has a function, by its whole name, call AWS at another address."""
    variables = lambdas.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    through = {f"AWS_ENDPOINT_URL_{service}": url for service in _SERVICES}
    lambdas.update_function_configuration(FunctionName=function, Environment={"Variables": variables | through})
