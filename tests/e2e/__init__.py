"""End-to-end tests: the deployed templates on the local stack, judged from outside."""
