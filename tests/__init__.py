"""Tests, and the harness that several of them share. `make run` needs nothing from here."""
