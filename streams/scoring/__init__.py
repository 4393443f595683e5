"""An event becomes answers."""
