"""Proxies between the functions and their servers, with which tests make servers and AWS calls fail."""
