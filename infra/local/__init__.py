"""The real parts of Storewatch on one machine: servers, deployment and reports for development and tests."""
