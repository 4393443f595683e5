"""A face becomes an aligned crop, and the crop an embedding."""
