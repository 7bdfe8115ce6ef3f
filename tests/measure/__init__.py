"""Measures what docs/benchmarks.md says of the lake's size and speed, on the real parts."""
