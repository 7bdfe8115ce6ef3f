"""Storewatch on one machine: real servers, deployment and reports for development and tests."""
