"""What fails between the functions and the servers, and what the lake must then contain."""
