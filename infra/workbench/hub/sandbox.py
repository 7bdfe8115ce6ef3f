"""Contains a user's processes: own Unix user, own view of files and processes, with bubblewrap.

Inside, a process sees its home, its groups' folders, the system's programs and the workbench's Python, all else is not
there. It runs without any capability and cannot gain one. What it may take is in limits.py, what it may reach over the
network in firewall.py.
"""

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.workbench.hub import limits
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import User, Users

_HERE = Path(__file__).resolve().parents[1]
LIB = "/opt/workbench-lib"
RUNTIME = "/run/user"
ACCESS = "/run/storewatch"
GROUPS = "/groups"
# What a process is for: each has limits of its own.
SERVER = "server"
RUN = "run"
_ETC = (
    "ssl",
    "ca-certificates",
    "fonts",
    "localtime",
    "alternatives",
    "resolv.conf",
    "nsswitch.conf",
    "hosts",
    "ld.so.cache",
)
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
        _make_home(home, user)
    for group in user.groups:
        folder = shared / group
        folder.mkdir(exist_ok=True)
        os.chown(folder, 0, groups[group])
        # What is made in it belongs to the group.
        folder.chmod(0o2770)


def _make_home(home: Path, user: User) -> None:
    """A new home, with copies of the notebooks that come with the workbench. It is there as a whole or not at all."""
    partial = home.with_name(f".{home.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(0o700)
    shutil.copytree(_HERE / "notebooks", partial / "examples")
    # A link, because root makes nothing in a folder in which its owner may have laid links.
    (partial / "groups").symlink_to(GROUPS)
    for path in [partial, *partial.rglob("*")]:
        os.chown(path, user.uid, user.uid, follow_symlinks=False)
    partial.rename(home)


def command(
    settings: Settings,
    user: User,
    argv: Sequence[str],
    *,
    binds: Mapping[Path, str] | None = None,
    cwd: str | None = None,
    outlives: bool = False,
) -> list[str]:
    """The command that root starts to run `argv` as the user.

    `binds` are more folders, by their path outside: the path inside. The user may write to them if it owns them.
    It ends with the thread that started it unless it `outlives` that.
    """
    groups = Users.load(settings.folder).groups
    words = ["bwrap", *([] if outlives else ["--die-with-parent"]), "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--hostname", "workbench"]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", "/tmp"]
    for folder in ("/etc", GROUPS, "/home", "/opt", LIB, "/run"):
        words += _folder(folder)
    words += _system(Path(settings.environment)) + _own(settings, user)
    for outside, inside in (binds or {}).items():
        words += ["--bind", str(outside), inside]
    words += ["--chdir", cwd or f"/home/{user.name}", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    numbers = ",".join(str(groups[group]) for group in user.groups)
    words += ["--", "setpriv", f"--reuid={user.uid}", f"--regid={user.uid}"]
    words += [f"--groups={numbers}" if numbers else "--clear-groups"]
    return [*words, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--", *argv]


def _system(environment: Path) -> list[str]:
    """What is the same for all users: the system's programs and the workbench's Python, read-only."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        elif Path("/", name).exists():
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in (environment, _base(environment)):
        if not path.is_relative_to("/usr"):
            words += [word for folder in [*reversed(path.parents)][1:] for word in _folder(folder)]
            words += ["--ro-bind", str(path), str(path)]
    for name in ("storewatch", "notebooks"):
        words += ["--ro-bind", str(_HERE / name), f"{LIB}/{name}"]
    return [*words, "--symlink", str(environment), "/opt/workbench", "--ro-bind", str(_HERE / "server"), "/etc/jupyter"]


def _base(environment: Path) -> Path:
    """The folder of the Python from which an environment was made."""
    lines = (environment / "pyvenv.cfg").read_text().splitlines()
    home = next(line.partition("=")[2].strip() for line in lines if line.startswith("home"))
    return Path(home).parent


def _folder(path: Path | str) -> list[str]:
    """bwrap makes the folders above a bind for root alone unless it is told otherwise."""
    return ["--perms", "0755", "--dir", str(path)]


def _own(settings: Settings, user: User) -> list[str]:
    """What is the user's: home, groups' folders, access files, and a place for the sockets of kernels."""
    state, home = settings.folder, f"/home/{user.name}"
    access = state / "access" / user.name
    words = ["--ro-bind", str(access), ACCESS]
    for name in ("passwd", "group"):
        words += ["--ro-bind", str(access / name), f"/etc/{name}"]
    words += ["--perms", "0777", "--size", str(_TMP_BYTES), "--tmpfs", RUNTIME]
    words += ["--bind", str(state / "homes" / user.name), home]
    for group in user.groups:
        words += ["--bind", str(state / "groups" / group), f"{GROUPS}/{group}"]
    return words


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


def preexec(settings: Settings, user: User, purpose: str = SERVER) -> Callable[[], None]:
    """What a child does before it becomes bwrap: joins its control group and takes its limits."""
    joined = limits.join(settings, user.name, purpose)
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


def missing() -> list[str]:
    """The programs that are needed and not on this machine."""
    return [name for name in ("bwrap", "setpriv", "nft") if not shutil.which(name, path=os.defpath + ":/usr/sbin")]
