"""Scoring: turns an event into its answers."""
