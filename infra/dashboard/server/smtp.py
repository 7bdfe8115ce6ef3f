"""Turns the address of a mail host into Superset's settings."""

from typing import Any

from infra.smtp import MailHost


def settings(address: str) -> dict[str, Any]:
    """The settings for an address; ValueError if it is not like that."""
    mail = MailHost.parse(address)
    return {
        "SMTP_HOST": mail.host,
        "SMTP_PORT": mail.port,
        "SMTP_STARTTLS": mail.is_starttls,
        "SMTP_SSL": mail.is_tls,
        "SMTP_SSL_SERVER_AUTH": True,
        "SMTP_USER": mail.user,
        "SMTP_PASSWORD": mail.password,
        "SMTP_MAIL_FROM": mail.sender,
    }
