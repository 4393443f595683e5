"""Pictures: from file bytes to upright pixels."""
