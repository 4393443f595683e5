"""The thread pool that runs the models, its circuit breaker and its probe."""
