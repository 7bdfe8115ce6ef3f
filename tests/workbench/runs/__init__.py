"""Scheduled runs, pages, backup and restore."""
