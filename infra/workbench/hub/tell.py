"""Tells people and alarms: metrics of CloudWatch, and mail."""

import smtplib
import ssl
import threading
from collections.abc import Sequence
from email.message import EmailMessage

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.smtp import MailHost
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Unavailable

FAILED = "NotebookRunsFailed"
BACKED_UP = "WorkbenchBackups"
_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 2})
# For each answer of the mail host, and for the whole mail.
_ANSWER_SECONDS = 10
_MAIL_SECONDS = 20


class MailFailed(Exception):
    """The mail host did not take it."""


def metric(settings: Settings, name: str) -> None:
    """Counts one."""
    try:
        cloudwatch = boto3.client("cloudwatch", region_name=settings.region, config=_CONFIG)
        data = [{"MetricName": name, "Value": 1, "Unit": "Count"}]
        cloudwatch.put_metric_data(Namespace=settings.namespace, MetricData=data)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"CloudWatch did not take {settings.namespace} {name}: {error}") from error


def mail(settings: Settings, to: Sequence[str], subject: str, text: str) -> None:
    """Sends a mail, or fails after a while. A host that sends a byte now and then holds up nobody either."""
    failed: list[Exception] = []

    def send() -> None:
        try:
            _send(settings.smtp or "", to, subject, text)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            failed.append(error)

    sender = threading.Thread(target=send, name="mail", daemon=True)
    sender.start()
    sender.join(_MAIL_SECONDS)
    if sender.is_alive():
        raise MailFailed(f"the mail host does not answer within {_MAIL_SECONDS} s")
    if failed:
        raise MailFailed(f"the mail host did not take a mail: {failed[0]}")


def _send(address: str, to: Sequence[str], subject: str, text: str) -> None:
    host = MailHost.parse(address)
    message = EmailMessage()
    message["From"], message["To"] = host.sender, ", ".join(to)
    message["Subject"] = " ".join(subject.split())
    message.set_content(text)
    context = ssl.create_default_context()
    if host.is_tls:
        server: smtplib.SMTP = smtplib.SMTP_SSL(host.host, host.port, timeout=_ANSWER_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host.host, host.port, timeout=_ANSWER_SECONDS)
    with server:
        if host.is_starttls:
            server.starttls(context=context)
        if host.user:
            server.login(host.user, host.password)
        server.send_message(message)
