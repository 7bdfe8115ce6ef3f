"""`make bench` and `make bench-growth`: how fast, how large and how kind to its sources a tick is."""
