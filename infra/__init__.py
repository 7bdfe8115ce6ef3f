"""Infrastructure: the templates, the country files, and the code that deploys them to AWS and to the local stack."""
