"""Writes what a user's processes need to ask for data: /run/storewatch inside the sandbox.

The files hold the user's own login at Trino, or temporary credentials of the analysts' role; and for who may read a
country's raw sources, the workbench's login there. They hold no secret of the functions.
"""

import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import DeployError
from infra.workbench.hub import sources
from infra.workbench.hub.sandbox import ACCESS
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import User, Users

# What AWS allows for a role that another role has assumed.
_SESSION_SECONDS = 3600
_RENEW_SECONDS = 900


def variables(settings: Settings) -> dict[str, str]:
    """Where a user's processes find their engine."""
    shared = {
        "STOREWATCH_ENGINE": settings.engine,
        "STOREWATCH_DATABASE": settings.database,
        "STOREWATCH_ACCESS": ACCESS,
    }
    shared["STOREWATCH_PAGES"] = f"http://127.0.0.1:{settings.port}/services/pages/"
    if settings.engine == "trino":
        return {**shared, "STOREWATCH_TRINO_URL": settings.trino_url or ""}
    aws = {
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_CONFIG_FILE": f"{ACCESS}/aws.config",
    }
    return {**shared, **aws, "STOREWATCH_WORKGROUP": settings.workgroup or ""}


def write(settings: Settings, user: User) -> None:
    """Writes a user's files anew. What the user may no longer have goes away, also from a server that runs."""
    folder = settings.folder / "access" / user.name
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, 0, user.uid)
    folder.chmod(0o750)
    files = {"passwd": _passwd(user), "group": _group(settings, user), **_engine(settings, user)}
    files |= {f"sources/{name}": text for name, text in _sources(settings, user).items()}
    for name, text in files.items():
        _put(folder / name, text, user.uid)
    for path in [*folder.glob("*"), *folder.glob("sources/*")]:
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()


def renew(settings: Settings) -> None:
    """Writes the files of all users who have some, and takes them from who is no longer a user."""
    known = Users.load(settings.folder)
    for folder in (settings.folder / "access").glob("*"):
        if folder.name in known:
            write(settings, known[folder.name])
        else:
            shutil.rmtree(folder)


def trino_password(settings: Settings, user: str) -> str:
    """A user's password at Trino: made at first, and kept for root alone."""
    file = settings.folder / "trino" / user
    if not file.exists():
        file.parent.mkdir(mode=0o700, exist_ok=True)
        _put(file, secrets.token_urlsafe(24), 0)
    return file.read_text()


def _engine(settings: Settings, user: User) -> dict[str, str]:
    if settings.engine == "trino":
        ca = Path(settings.trino_ca or "").read_text()
        login = {"user": user.name, "password": trino_password(settings, user.name), "ca": f"{ACCESS}/trino-ca.pem"}
        return {"trino.json": json.dumps(login), "trino-ca.pem": ca}
    # The SDKs ask this program again before what it told expires.
    config = f"[default]\nregion = {settings.region}\ncredential_process = cat {ACCESS}/aws.json\n"
    return {"aws.config": config, "aws.json": json.dumps(_session(settings, user))}


def _session(settings: Settings, user: User) -> dict[str, Any]:
    """Temporary credentials of the analysts' role, in whose log the user's name stands."""
    import boto3

    answer = boto3.client("sts", region_name=settings.region).assume_role(
        RoleArn=settings.analysts_role, RoleSessionName=user.name, DurationSeconds=_SESSION_SECONDS
    )["Credentials"]
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    until: datetime = answer["Expiration"]
    return {"Version": 1, **{name: answer[name] for name in names}, "Expiration": until.astimezone(UTC).isoformat()}


def _sources(settings: Settings, user: User) -> dict[str, str]:
    found: dict[str, str] = {}
    for country in user.sources:
        try:
            found |= sources.files(settings, country, f"{ACCESS}/sources")
        except DeployError as error:
            # One country's secret or file is wrong. Nobody loses more by it than that country's sources.
            print(f"access: {user.name} does not get the sources of {country}: {error}", flush=True)
    return found


def _passwd(user: User) -> str:
    return (
        f"root:x:0:0:root:/root:/usr/sbin/nologin\n{user.name}:x:{user.uid}:{user.uid}::/home/{user.name}:/bin/bash\n"
    )


def _group(settings: Settings, user: User) -> str:
    groups = Users.load(settings.folder).groups
    lines = [f"{user.name}:x:{user.uid}:", *(f"{name}:x:{groups[name]}:{user.name}" for name in user.groups)]
    return "\n".join(["root:x:0:", *lines]) + "\n"


def _put(file: Path, text: str, uid: int) -> None:
    """Writes a file that its user may read and not change, in one step: somebody may be reading it."""
    file.parent.mkdir(exist_ok=True)
    if file.parent.name == "sources":
        os.chown(file.parent, 0, uid)
        file.parent.chmod(0o750)
    partial = file.with_name(f".{file.name}.tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o440)
    with os.fdopen(descriptor, "w") as stream:
        os.fchown(descriptor, 0, uid)
        os.fchmod(descriptor, 0o440)  # whatever the process's mask is
        stream.write(text)
    partial.replace(file)


def main() -> None:
    """Renews the files of all users every 15 minutes, which is before what they hold expires."""
    while True:
        try:
            renew(Settings.load())
        except (DeployError, OSError, BotoCoreError, ClientError) as error:  # tried again, in time
            print(f"access: {error}", flush=True)
        time.sleep(_RENEW_SECONDS)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # the hub stops
        main()
