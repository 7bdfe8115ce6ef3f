"""The local servers: how to install, start, check and stop each."""
