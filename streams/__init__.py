"""Every edge of facestream: settings, the Faust app, topics, pool, index, web port, commands."""
