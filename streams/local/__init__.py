"""The broker and the worker as child processes of this machine."""
