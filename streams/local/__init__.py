"""The embedded broker and a worker as child processes."""
