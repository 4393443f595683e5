"""Claim checks: the pictures that events point to."""

from __future__ import annotations
