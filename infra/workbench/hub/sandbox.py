"""Contains a user's processes: own Unix user, own view of files and processes, with bubblewrap.

Inside, a process sees its home, its groups' folders, the system's programs and the workbench's Python, all else is not
there. It runs without any capability and cannot gain one. What it may take is in limits.py, what it may reach over the
network in firewall.py.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.workbench.hub import limits
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import User, Users

_HERE = Path(__file__).resolve().parents[1]
LIB = "/opt/workbench-lib"
RUNTIME = "/run/user"
ACCESS = "/run/storewatch"
_ETC = ("ssl", "ca-certificates", "fonts", "localtime", "alternatives", "resolv.conf", "nsswitch.conf", "hosts", "ld.so.cache")
_TMP_BYTES = 512 * 1024 * 1024


def prepare(settings: Settings, user: User, groups: Mapping[str, int]) -> None:
    """Makes a user's home and the folders of its groups, unless they are there."""
    homes, shared = settings.folder / "homes", settings.folder / "groups"
    for folder in (homes, shared, settings.folder / "access"):
        folder.mkdir(parents=True, exist_ok=True)
        # Others of the machine see none of it.
        folder.chmod(0o711 if folder.name == "access" else 0o700)
    home = homes / user.name
    if not home.exists():
        home.mkdir(0o700)
    os.chown(home, user.uid, user.uid)
    for group in user.groups:
        folder = shared / group
        folder.mkdir(exist_ok=True)
        os.chown(folder, 0, groups[group])
        # What is made in it belongs to the group.
        folder.chmod(0o2770)


def command(
    settings: Settings,
    user: User,
    argv: Sequence[str],
    *,
    binds: Mapping[Path, str] | None = None,
    cwd: str | None = None,
) -> list[str]:
    """The command that root starts to run `argv` as the user.

    `binds` are more folders, by their path outside: the path inside. The user may write to them if it owns them.
    """
    state = settings.folder
    groups = Users.load(state).groups
    home = f"/home/{user.name}"
    words = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "workbench"]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        elif Path("/", name).exists():
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", "/tmp"]
    words += ["--perms", "0777", "--size", str(_TMP_BYTES), "--tmpfs", RUNTIME]
    for folder in _python():
        words += ["--ro-bind", folder, folder]
    words += ["--symlink", sys.prefix, "/opt/workbench", "--ro-bind", str(_HERE / "server"), "/etc/jupyter"]
    for name in ("storewatch", "notebooks"):
        words += ["--ro-bind-try", str(_HERE / name), f"{LIB}/{name}"]
    access = state / "access" / user.name
    words += ["--ro-bind", str(access), ACCESS, "--ro-bind", str(access / "passwd"), "/etc/passwd"]
    words += ["--ro-bind", str(access / "group"), "/etc/group", "--bind", str(state / "homes" / user.name), home]
    for group in user.groups:
        words += ["--bind", str(state / "groups" / group), f"{home}/groups/{group}"]
    for outside, inside in (binds or {}).items():
        words += ["--bind", str(outside), inside]
    words += ["--chdir", cwd or home, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    numbers = ",".join(str(groups[group]) for group in user.groups)
    words += ["--", "setpriv", f"--reuid={user.uid}", f"--regid={user.uid}"]
    words += [f"--groups={numbers}" if numbers else "--clear-groups"]
    return [*words, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--", *argv]


def environment(user: User) -> dict[str, str]:
    """The variables of a user's processes. Nothing of root's."""
    return {
        "HOME": f"/home/{user.name}",
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        # Times in the lake are UTC.
        "TZ": "UTC",
        "PATH": "/opt/workbench/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": LIB,
        "JUPYTER_RUNTIME_DIR": RUNTIME,
        "MPLBACKEND": "agg",
    }


def preexec(settings: Settings, user: User, group: str = "server") -> Callable[[], None]:
    """What a child does before it becomes bwrap: joins its control group and takes its limits."""
    joined = limits.join(settings, user.name, group)
    largest = settings.file_megabytes * 1024 * 1024

    def before() -> None:
        import resource

        joined()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        # A server in the background of a script would ignore it, and never end when it is asked to.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.umask(0o007)

    return before


def _python() -> list[str]:
    """The folders of the workbench's Python that are not the system's."""
    return [folder for folder in dict.fromkeys((sys.prefix, sys.base_prefix)) if not folder.startswith("/usr")]


def missing() -> list[str]:
    """The programs that are needed and not on this machine."""
    return [name for name in ("bwrap", "setpriv", "nft") if not shutil.which(name, path=os.defpath + ":/usr/sbin")]
