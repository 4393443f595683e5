"""Face quality: how well a face can be recognised."""
