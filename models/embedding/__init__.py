"""Face embedding: from a face to its aligned crop, and from the crop to a vector."""
