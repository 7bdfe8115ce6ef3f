"""Turns the address of a mail host into Superset's settings."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_SENDER = "storewatch@localhost"


def settings(address: str) -> dict[str, Any]:
    """The settings for `smtp://user:password@host:port?from=storewatch@example.com`; ValueError if it is not like that.

    `smtp+starttls` and `smtps` encrypt, and check the host's certificate.
    """
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:
        raise ValueError("its port is not a number from 0 to 65535") from None
    if url.scheme not in _PORTS:
        raise ValueError(f"it must begin with one of {', '.join(f'{name}://' for name in _PORTS)}")
    if not url.hostname:
        raise ValueError("it names no host")
    sender = parse_qs(url.query).get("from", [_SENDER])[0]
    # Superset makes the ids of its mails from what is behind the @.
    if "@" not in sender:
        raise ValueError(f"from={sender} is no mail address")
    return {
        "SMTP_HOST": url.hostname,
        "SMTP_PORT": port or _PORTS[url.scheme],
        "SMTP_STARTTLS": url.scheme == "smtp+starttls",
        "SMTP_SSL": url.scheme == "smtps",
        "SMTP_SSL_SERVER_AUTH": True,
        "SMTP_USER": unquote(url.username or ""),
        "SMTP_PASSWORD": unquote(url.password or ""),
        "SMTP_MAIL_FROM": sender,
    }
