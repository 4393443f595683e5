"""The process: its exit and its memory."""
