"""Tests, and the harness that several of them share. Nothing that `make run` needs is here."""
