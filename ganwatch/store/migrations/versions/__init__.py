"""Schema versions: one module each, in order."""
