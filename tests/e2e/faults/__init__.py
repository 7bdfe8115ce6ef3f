"""What fails between the functions and the world, and what must then stand in the lake."""
