"""Thin shells: which topic's events go through which handler."""
