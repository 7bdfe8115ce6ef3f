"""What runs as root on the workbench's machine: the hub, its services, and what contains users."""
