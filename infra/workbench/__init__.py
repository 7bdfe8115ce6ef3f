"""The analysts' workbench: JupyterHub, the package `storewatch`, scheduled notebooks, backup, and the way from Zeppelin."""
