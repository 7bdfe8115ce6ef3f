"""What README.md says in figures of the lake's size and speed: commands that measure it on the real parts."""
