"""What the deployed machines write, and what they do when something is wrong."""
