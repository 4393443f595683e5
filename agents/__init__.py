"""Thin agents: each passes the events of one topic to one handler."""
