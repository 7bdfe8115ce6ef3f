"""What several kinds of tests share: deployments seen from outside, and oracles that share nothing with the code."""
