"""The analysts' workbench, tested with real servers."""
