"""The process: how it ends, and how it keeps memory."""
