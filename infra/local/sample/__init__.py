"""Sample stores for the stack: a seeded generator, loaders, and a live view that follows the stores' hours."""
