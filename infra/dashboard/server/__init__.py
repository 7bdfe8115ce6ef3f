"""What runs inside the local Superset, in its own Python environment: settings, cache, preparation."""
