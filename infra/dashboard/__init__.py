"""The dashboards as files, and the program that imports them into a Superset over its REST API."""
