"""The dashboard as people see it: a real Superset over Trino, in a real browser, logged in by role."""
