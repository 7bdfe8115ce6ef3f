"""The address of a mail host, as people write it."""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_SENDER = "storewatch@localhost"


@dataclass(frozen=True)
class MailHost:
    """A mail host, and from whom mails come."""

    host: str
    port: int
    is_tls: bool  # from the first byte
    is_starttls: bool
    user: str
    password: str
    sender: str

    @classmethod
    def parse(cls, address: str) -> "MailHost":
        """Reads `smtp://user:password@host:port?from=storewatch@example.com`; ValueError if it is not like that.

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
        # The ids of mails are made from what is behind the @.
        if "@" not in sender:
            raise ValueError(f"from={sender} is no mail address")
        return cls(
            url.hostname,
            port or _PORTS[url.scheme],
            url.scheme == "smtps",
            url.scheme == "smtp+starttls",
            unquote(url.username or ""),
            unquote(url.password or ""),
            sender,
        )
