"""The commands: ``facestream NAME``, or ``faust -A streams.app NAME``."""
