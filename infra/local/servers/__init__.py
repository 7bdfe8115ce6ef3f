"""The local servers: how each is installed, started, asked whether it is well, and stopped."""
