"""Measurements on labelled pictures and under load; nothing of the service imports them."""
