"""Sample stores for the stack: a seeded generator, its loaders and a live view that follows the stores' hours."""
