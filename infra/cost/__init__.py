"""What Storewatch costs on AWS: list prices times what the templates hold, the state machines do and a tick was seen to use."""
