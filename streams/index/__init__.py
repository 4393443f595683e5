"""Answers become points in Qdrant."""
