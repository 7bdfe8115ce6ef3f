"""A day of ticks on the real stack in minutes, with faults, and an audit that reads everything back."""
