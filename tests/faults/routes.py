"""Puts a proxy in front of a server, and makes functions use it."""

from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.faults.http import HttpProxy
from tests.faults.listener import Loop

# The services whose calls go through a proxy.
_SERVICES = ("S3", "GLUE", "CLOUDWATCH")
P = TypeVar("P", bound=HttpProxy)


def before(loop: Loop, url: str) -> HttpProxy:
    """A proxy in front of the server at an address."""
    return before_as(HttpProxy, loop, url)


def before_as(kind: type[P], loop: Loop, url: str) -> P:
    """The same, of a given class."""
    parts = urlsplit(url)
    return kind(loop, parts.hostname or "", parts.port or 80)


def send_through(lambdas: Any, function: str, url: str) -> None:
    """Makes a function, given by its full name, call AWS at another address."""
    variables = lambdas.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    through = {f"AWS_ENDPOINT_URL_{service}": url for service in _SERVICES}
    lambdas.update_function_configuration(FunctionName=function, Environment={"Variables": variables | through})
