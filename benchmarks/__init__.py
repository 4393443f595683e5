"""Measure accuracy on labelled pictures, and cost under load. The service does not import this."""
