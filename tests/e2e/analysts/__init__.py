"""What analysts query through Trino and Athena, and what they may."""
