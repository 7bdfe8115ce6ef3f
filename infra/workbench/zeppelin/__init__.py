"""The way over from Zeppelin: turns its notes into notebooks, and the project's notebooks into notes."""
