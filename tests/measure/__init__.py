"""Measures the sizes and speeds in docs/benchmarks.md on real servers."""
