"""End-to-end tests: the deployed templates on the local stack, tested from outside."""
