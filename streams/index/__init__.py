"""The vector index: scored faces become points in Qdrant."""
