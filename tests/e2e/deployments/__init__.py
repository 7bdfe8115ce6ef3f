"""What deployments make, change, refuse and remove."""
