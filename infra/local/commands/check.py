"""Lints what no compiler sees: templates, state machines, how the two fit, country files, and the Python."""

from infra.local.checks.state_machines import add_arguments, main

__all__ = ["add_arguments", "main"]
