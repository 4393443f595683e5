"""The pages of the worker's web port."""
