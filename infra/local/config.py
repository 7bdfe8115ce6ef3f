"""Where everything of a stack is: its folders, and its addresses as `stack up` wrote them to stack.json."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".stack" / "cache"
VENV = CACHE / "venv"
DEFAULT_NAME = "main"


def stack_name() -> str:
    """The name of the stack that is meant: STACK_NAME, else `main`. Stacks of different names run side by side."""
    name = os.environ.get("STACK_NAME") or DEFAULT_NAME
    # The name becomes a folder and part of messages: nothing that could leave .stack/run or need quoting.
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise StackError(f"STACK_NAME is {name!r}: use up to 40 lower case letters, digits and dashes")
    return name


def run_dir(name: str | None = None) -> Path:
    """The folder of one stack's data, logs and pids."""
    return ROOT / ".stack" / "run" / (name or stack_name())


def lock_file(name: str) -> Path:
    """Held by `up` and `down`; beside the stack's folder, because `down --wipe` removes that."""
    return run_dir(name).with_name(f"{name}.lock")


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL: its certificate names `localhost` only, so a client that verifies names must use that host."""

    host: str
    port: int
    admin_user: str
    admin_password: str
    ca_file: str

    def conninfo(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A libpq connection string; the administrator's unless another role is named."""
        user, password = (user, password) if user else (self.admin_user, self.admin_password)
        return (
            f"host={self.host} port={self.port} dbname={database} user={user} password={password} "
            f"sslmode=verify-ca sslrootcert='{self.ca_file}' connect_timeout=10"
        )


@dataclass(frozen=True)
class Elasticsearch:
    """Elasticsearch: no authentication, because its Maven jars have no security."""

    url: str


@dataclass(frozen=True)
class Aws:
    """The local AWS and the credentials of its account's root, which deployments and tests use."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str

    def environment(self) -> dict[str, str]:
        """The variables that every AWS SDK and the AWS CLI read."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client for this AWS, whatever the user's own profile and environment say."""
        import boto3  # here, because it takes a second to import and most commands do not need it

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            **options,
        )


@dataclass(frozen=True)
class Stack:
    """The addresses of one stack's servers."""

    name: str
    root: str
    postgres: Postgres
    elasticsearch: Elasticsearch
    aws: Aws

    @property
    def run_dir(self) -> Path:
        """The folder of this stack's data, logs and pids."""
        return run_dir(self.name)

    @property
    def file(self) -> Path:
        """Where these addresses are written for other programs."""
        return self.run_dir / "stack.json"

    @classmethod
    def load(cls, name: str | None = None) -> "Stack":
        """Reads what `stack up` wrote."""
        file = run_dir(name) / "stack.json"
        try:
            content = json.loads(file.read_text())
        except FileNotFoundError:
            raise StackError(f"there is no stack {name or stack_name()!r} ({file}): start it with `stack up`") from None
        except json.JSONDecodeError as error:
            raise StackError(f"{file} is not JSON ({error}): run `stack up`, which writes it again") from None
        return cls(
            name=content["name"],
            root=content["root"],
            postgres=Postgres(**content["postgres"]),
            elasticsearch=Elasticsearch(**content["elasticsearch"]),
            aws=Aws(**content["aws"]),
        )

    def save(self) -> None:
        """Writes stack.json whole or not at all; it holds the administrator's password, hence the mode."""
        write_private(self.file, json.dumps(asdict(self), indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner may read, in one step for whoever reads it meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    partial.replace(file)
