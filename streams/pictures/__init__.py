"""Claim checks: the pictures that events point to."""
