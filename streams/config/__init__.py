"""Settings: read from the environment, checked, and printed as a table."""
