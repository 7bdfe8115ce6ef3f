"""Settings of every user's server. It is root's, and the hub keeps users from overriding it."""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821
# Nothing is asked of other machines.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.ServerApp.root_dir = os.environ["HOME"]
# Hidden files hold what Jupyter itself keeps.
c.ContentsManager.allow_hidden = False
# By default kernels listen on the loopback address, which everybody on the machine shares.
c.KernelManager.transport = "ipc"
# A kernel that prints without an end would fill the browser.
c.ZMQChannelsWebsocketConnection.limit_rate = True
# Kernels that nobody uses end before the server does.
c.MappingKernelManager.cull_idle_timeout = 2700
c.MappingKernelManager.cull_interval = 120
