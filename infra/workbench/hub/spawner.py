"""Starts a user's server in its sandbox."""

from collections.abc import Callable
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner

from infra.errors import DeployError
from infra.workbench.hub import access, limits, sandbox
from infra.workbench.hub.settings import Settings
from infra.workbench.hub.users import User, Users


class SandboxSpawner(LocalProcessSpawner):
    """A process of the hub's machine, as JupyterHub's own spawner has them, but contained."""

    async def start(self) -> Any:
        """Starts the server, with the rights that users.json has now."""
        settings = Settings.load()
        user, groups = self._user()
        sandbox.prepare(settings, user, groups)
        access.write(settings, user)
        limits.end(settings, user.name, sandbox.SERVER)  # what a killed bwrap may have left
        # Users keep their servers when the hub is started again.
        self.cmd = sandbox.command(settings, user, _SERVER, outlives=True)
        return await super().start()

    async def stop(self, now: bool = False) -> None:
        """Ends the server and everything that it started. What is to be kept has been saved."""
        limits.end(Settings.load(), self.user.name, sandbox.SERVER)
        await super().stop(now)

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The variables of the server. JupyterHub asks the system's list of users, in which they are not."""
        return {**env, **sandbox.environment(self._user()[0]), **access.variables(Settings.load())}

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """Joins the control group. bwrap changes the user."""
        return sandbox.preexec(Settings.load(), self._user()[0])

    def _user(self) -> tuple[User, dict[str, int]]:
        known = Users.load(Settings.load().folder)
        if self.user.name not in known:
            raise DeployError(f"{self.user.name!r} is not in users.json any more")
        return known[self.user.name], dict(known.groups)


_SERVER = ["/opt/workbench/bin/python", "-m", "jupyterhub.singleuser"]
