"""The checks of `make check` that no compiler or linter does."""
