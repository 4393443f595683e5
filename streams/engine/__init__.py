"""Everything that knows Faust: the app, in-flight windows, commits, delivery, publishing."""
