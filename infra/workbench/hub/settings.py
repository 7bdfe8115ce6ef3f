"""The workbench's settings: one JSON file, which root alone may read."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import DeployError

# Names the file for the hub and its services.
VARIABLE = "STOREWATCH_WORKBENCH"


def kernel_name(uid_base: int) -> str:
    """What control groups and rules of the workbench with these ids are called."""
    return f"storewatch-{uid_base}"


@dataclass(frozen=True)
class Settings:
    """Where everything is, and what a user may take."""

    state: str  # folder of users, homes and groups
    port: int  # of the address that users open; the hub, the proxy's API and the pages follow on other ports
    hub_port: int
    proxy_port: int
    pages_port: int
    proxy: str  # the program of the proxy
    environment: str  # folder of the Python environment that users have
    uid_base: int  # users' and groups' ids begin here, and no other user of the machine has one of them
    prefix: str  # of the deployment
    database: str
    bucket: str  # of the workbench
    region: str
    engine: str = "athena"  # or `trino`
    trino_url: str | None = None
    trino_ca: str | None = None
    workgroup: str | None = None
    analysts_role: str | None = None  # ARN
    countries: str = "infra/countries"  # folder of country files
    namespace: str = "Storewatch"  # of metrics
    url: str | None = None  # the address that users open, if it is not http://127.0.0.1:port
    smtp: str | None = None  # the mail host: smtp://…
    memory: str = "2G"  # of a user's server and its kernels
    processors: float = 1.0
    processes: int = 256
    file_megabytes: int = 2048  # the largest file that a user may write
    idle_seconds: int = 3600  # after which a server ends
    cull_seconds: int = 60  # between looks for idle servers

    @property
    def folder(self) -> Path:
        """The state's folder."""
        return Path(self.state)

    @property
    def address(self) -> str:
        """What users open."""
        return self.url or f"http://127.0.0.1:{self.port}"

    @property
    def file(self) -> Path:
        """Where the settings are."""
        return self.folder / "settings.json"

    @property
    def name(self) -> str:
        """A name for what the kernel knows of this workbench: its control groups and its firewall's table."""
        return kernel_name(self.uid_base)

    @property
    def last_uid(self) -> int:
        """The last id that a user or group can have."""
        return self.uid_base + 999

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def load(cls, file: Path | None = None) -> "Settings":
        """Reads them, from the file that the environment names unless one is given."""
        file = file or Path(os.environ.get(VARIABLE, "/var/lib/storewatch-workbench/settings.json"))
        try:
            return cls(**json.loads(file.read_text()))
        except FileNotFoundError:
            raise DeployError(f"there are no settings of the workbench in {file}: see docs/workbench.md") from None
        except (ValueError, TypeError) as error:
            raise DeployError(f"{file} cannot be read: {error}") from None
