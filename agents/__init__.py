"""Thin shells: which event goes through which function."""
