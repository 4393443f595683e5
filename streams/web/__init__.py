"""The pages of the worker's web port: health, metrics, the index, and the HTTP API."""
