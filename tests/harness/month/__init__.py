"""A month of generated truth for the tables of outages: stores, what happens to them, and what ticks say of it."""
