"""Tests of the analysts' workbench, on real servers."""
