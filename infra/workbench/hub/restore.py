"""Brings users, rights, homes, groups' folders and schedules back on an empty machine, from the backup on S3.

    python -m infra.workbench.hub.restore                            as they were last
    python -m infra.workbench.hub.restore --at 2026-11-26T12:00Z     as they were then
    python -m infra.workbench.hub.restore --force                    also over homes that are not empty

The hub is stopped meanwhile. Run it again if it was interrupted. Links and hidden folders are not in the backup.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from infra.errors import DeployError
from infra.workbench.hub import files, sandbox
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.store import Store, Unavailable, Version
from infra.workbench.hub.users import FILE as _USERS
from infra.workbench.hub.users import Users

_FORCE = "--force, or FORCE=1 for make workbench-restore"
_AT_ONCE = 8


@dataclass(frozen=True)
class Owner:
    """To whom a home or a group's folder belongs on this machine."""

    root: Path
    uid: int
    gid: int
    mode: int


def restore(
    settings: Settings,
    store: Store,
    *,
    at: datetime | None = None,
    force: bool = False,
    tell: Callable[[str], None] = print,
) -> int:
    """Restores. Returns how many files there are."""
    state = settings.folder
    found = {prefix: _as_of(store, prefix, at) for prefix in (_USERS, "homes/", "groups/")}
    if _USERS not in found[_USERS]:
        when = f" as of {at:%Y-%m-%d %H:%M} UTC" if at else ""
        raise DeployError(f"there is no backup of users in s3://{store.bucket}{when}: is it the right bucket?")
    state.mkdir(parents=True, exist_ok=True)
    # Says, after an interruption, that what is there came from here.
    marker = state / "restoring"
    if not force and not marker.exists():
        _refuse_to_overwrite(state)
    marker.touch()
    kept = store.get(_USERS, found[_USERS][_USERS].id)
    assert kept, "a version that was listed"
    users = _on_this_machine(Users.parse(kept.body.decode()), settings)
    users.save(state)
    owners = _owners(state, users)
    wanted = [one for prefix in ("homes/", "groups/") for one in found[prefix].values()]
    there = [one for one in wanted if _top(one) in owners]
    for top in sorted({_top(one) for one in there}):
        _make(owners[top])
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda one: _bring(store, one, owners[_top(one)], users), there))
    marker.unlink()
    left = len(wanted) - len(there)
    tell(f"{len(list(users))} users, {len(users.groups)} groups and {len(there)} files are back")
    if left:
        tell(f"{left} files of users who were removed stay in s3://{store.bucket}")
    return len(there)


def _as_of(store: Store, prefix: str, at: datetime | None) -> dict[str, Version]:
    """The newest version of each key up to an instant, without those that were deleted then."""
    newest: dict[str, Version] = {}
    for one in store.versions(prefix):
        if (at is None or one.at <= at) and (one.key not in newest or _age(one) > _age(newest[one.key])):
            newest[one.key] = one
    return {key: one for key, one in newest.items() if not one.deleted}


def _age(version: Version) -> tuple[datetime, bool, bool]:
    # S3 tells whole seconds. What was saved and deleted within one counts as saved, unless nothing came after.
    return version.at, version.latest, not version.deleted


def _refuse_to_overwrite(state: Path) -> None:
    for folder in [*(state / "homes").glob("*"), *(state / "groups").glob("*")]:
        if folder.is_dir() and any(folder.iterdir()):
            raise DeployError(f"{folder} is not empty. To write the backup's files over it, say so: {_FORCE}")
    if (state / _USERS).exists() and list(Users.load(state)):
        raise DeployError(f"{state / _USERS} has users already. To put the backup's in their place, say so: {_FORCE}")


def _on_this_machine(users: Users, settings: Settings) -> Users:
    """The users with ids of this machine: the same ones if they fit, or else new ones."""
    ids = sorted([*(user.uid for user in users), *users.groups.values()])
    if all(settings.uid_base < one <= settings.last_uid for one in ids):
        return users
    new = {old: settings.uid_base + number for number, old in enumerate(ids, 1)}
    by_name = {user.name: replace(user, uid=new[user.uid]) for user in users}
    return Users(by_name, {name: new[old] for name, old in users.groups.items()}, len(ids))


def _owners(state: Path, users: Users) -> dict[str, Owner]:
    homes = {f"homes/{user.name}": Owner(state / "homes" / user.name, user.uid, user.uid, 0o700) for user in users}
    groups = {f"groups/{name}": Owner(state / "groups" / name, 0, gid, 0o2770) for name, gid in users.groups.items()}
    return homes | groups


def _top(version: Version) -> str:
    return "/".join(version.key.split("/")[:2])


def _make(owner: Owner) -> None:
    """Makes a home or a group's folder as the hub does."""
    owner.root.parent.mkdir(mode=0o700, exist_ok=True)
    owner.root.mkdir(exist_ok=True)
    os.chown(owner.root, owner.uid, owner.gid)
    owner.root.chmod(owner.mode)
    if owner.root.parent.name == "homes":
        with suppress(FileExistsError):
            (owner.root / "groups").symlink_to(sandbox.GROUPS)
            os.chown(owner.root / "groups", owner.uid, owner.gid, follow_symlinks=False)


def _bring(store: Store, version: Version, owner: Owner, users: Users) -> None:
    path = version.key.split("/", 2)[2]
    found = store.get(version.key, version.id)
    if found is None:
        raise DeployError(f"{version.key} went away from the bucket meanwhile: run this again")
    # In a group's folder, whoever saved the file still owns it.
    name = found.metadata.get("owner", "")
    uid = users[name].uid if owner.uid == 0 and name in users else owner.uid
    mode, mtime = int(found.metadata.get("mode", "600"), 8) & 0o777, found.metadata.get("mtime-ns")
    with suppress(OSError):
        body, stat = files.read(owner.root, path, len(found.body))
        if body == found.body and (stat.st_mode & 0o777, stat.st_uid, str(stat.st_mtime_ns)) == (mode, uid, mtime):
            return
    files.write(owner.root, path, found.body, uid=uid, gid=owner.gid, mode=mode, mtime_ns=int(mtime) if mtime else None)


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant: write it as 2026-11-26T12:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="restore", description="Brings the workbench's users and files back from S3.")
    parser.add_argument("--at", type=_instant, help="as of this instant; UTC unless it says otherwise")
    parser.add_argument("--force", action="store_true", help="write over homes that are not empty, and over users.json")
    args = parser.parse_args(words)
    settings = Settings.load()
    try:
        restore(settings, Store.of(settings), at=args.at, force=args.force)
    except (DeployError, Unavailable) as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
