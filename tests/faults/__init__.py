"""A proxy between the functions and what they talk to, through which tests make servers and AWS calls fail."""
