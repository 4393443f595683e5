"""Faces are found in pixels."""
