"""The house door: servers, dealers and clients as long-lived objects."""
