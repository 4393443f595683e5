"""How good a face is for recognition."""
