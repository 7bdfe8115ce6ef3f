"""A stack's folders and its servers' addresses, which `stack up` writes to stack.json."""

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
# The functions that are deployed here: those that `make build` compiles, or as STOREWATCH_BINARIES says the zips of
# `make release`, in target/lambda.
BINARIES = Path(os.environ.get("STOREWATCH_BINARIES") or ROOT / "target/debug")
DEFAULT_NAME = "main"


def stack_name() -> str:
    """The name of the current stack: STACK_NAME, or `main`. Stacks with different names run side by side."""
    name = os.environ.get("STACK_NAME") or DEFAULT_NAME
    # The name becomes a folder and part of messages. It must not leave .stack/run or need quoting.
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise StackError(f"STACK_NAME is {name!r}: use up to 40 lower case letters, digits and dashes")
    return name


def run_dir(name: str | None = None) -> Path:
    """The folder of a stack's data, logs and pids."""
    return ROOT / ".stack" / "run" / (name or stack_name())


def lock_file(name: str) -> Path:
    """The lock of `up` and `down`. It is outside the stack's folder, because `down --wipe` removes that."""
    return run_dir(name).with_name(f"{name}.lock")


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL. Its certificate only names `localhost`, so clients that verify names must use that host."""

    host: str
    port: int
    admin_user: str
    admin_password: str
    ca_file: str

    def conninfo(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A libpq connection string, for the administrator unless another role is named."""
        user, password = (user, password) if user else (self.admin_user, self.admin_password)
        return (
            f"host={self.host} port={self.port} dbname={database} user={user} password={password} "
            f"sslmode=verify-ca sslrootcert='{self.ca_file}' connect_timeout=10"
        )


@dataclass(frozen=True)
class Elasticsearch:
    """Elasticsearch, without authentication: its Maven jars have no security."""

    url: str


@dataclass(frozen=True)
class Aws:
    """The local AWS, with the root credentials that deployments and tests use."""

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
        """A boto3 client for this AWS. Ignores the user's own profile and environment."""
        import boto3  # imported here: it takes a second, and most commands do not need it

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
    """The addresses of a stack's servers."""

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
        """The file that holds these addresses for other programs."""
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
            raise StackError(f"{file} is not JSON ({error}): run `stack up` to write it again") from None
        return cls(
            name=content["name"],
            root=content["root"],
            postgres=Postgres(**content["postgres"]),
            elasticsearch=Elasticsearch(**content["elasticsearch"]),
            aws=Aws(**content["aws"]),
        )

    def save(self) -> None:
        """Writes stack.json in one step, readable by its owner only: it holds the administrator's password."""
        write_private(self.file, json.dumps(asdict(self), indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner may read. Readers see the old content or the new, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    partial.replace(file)
