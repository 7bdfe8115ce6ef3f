"""The hub's configuration, on a company's machine as on the local stack. Everything that differs is in settings.json.

A file jupyterhub_config.py in the workbench's folder, if there is one, is read last: for a company's own sign-in.
"""

import os
import sys

from infra.workbench.hub.authenticator import PasswordAuthenticator, with_rights
from infra.workbench.hub.settings import VARIABLE, Settings
from infra.workbench.hub.spawner import SandboxSpawner

# What the hub writes, its database too, is for root alone.
os.umask(0o077)
settings = Settings.load()
state = settings.folder
c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.JupyterHub.bind_url = f"http://127.0.0.1:{settings.port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_port}"
c.ConfigurableHTTPProxy.command = [settings.proxy]
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
# Users keep their servers when the hub is started again.
c.JupyterHub.cleanup_servers = False

c.JupyterHub.authenticator_class = PasswordAuthenticator
c.Authenticator.allow_all = True  # everybody whom with_rights lets in
c.Authenticator.post_auth_hook = with_rights
c.Authenticator.manage_groups = True

c.JupyterHub.spawner_class = SandboxSpawner
c.Spawner.ip = "127.0.0.1"
c.Spawner.default_url = "/lab"
c.Spawner.mem_limit = settings.memory  # shown; limits.py holds to it
c.Spawner.cpu_limit = settings.processors
c.Spawner.disable_user_config = True
c.Spawner.env_keep = []  # nothing of root's environment
c.Spawner.http_timeout = 60
c.Spawner.start_timeout = 60

# Services get no more of the hub's environment than they need: where AWS is, and with which login.
_KEPT = ("PATH", "LANG", "HOME", "PYTHONPATH", VARIABLE, "STOREWATCH_SERVER")
_environment = {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith("AWS_")}


def _service(name: str, *words: str, **more: object) -> dict[str, object]:
    return {"name": name, "command": [sys.executable, "-m", *words], "environment": _environment, **more}


_culling = [f"--timeout={settings.idle_seconds}", f"--cull-every={settings.cull_seconds}"]
_pages = {"url": f"http://127.0.0.1:{settings.pages_port}", "oauth_no_confirm": True, "display": True}
c.JupyterHub.services = [
    _service("idle-culler", "jupyterhub_idle_culler", *_culling),
    _service("access", "infra.workbench.hub.access"),
    _service("scheduler", "infra.workbench.hub.scheduler"),
    _service("mirror", "infra.workbench.hub.mirror"),
    _service("pages", "infra.workbench.hub.pages", **_pages),
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    },
    {"name": "user", "scopes": ["self", "access:services!service=pages"]},
    # A server's own token, with which a notebook publishes a page.
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", "access:services!service=pages"]},
]

if (state / "jupyterhub_config.py").exists():
    load_subconfig(str(state / "jupyterhub_config.py"))  # type: ignore[name-defined]  # noqa: F821
