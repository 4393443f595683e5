"""Picture bytes become pixels."""
