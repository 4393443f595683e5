"""Metrics, worker state and logs."""
