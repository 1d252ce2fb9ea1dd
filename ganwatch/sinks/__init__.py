"""Where records go: one file a destination."""
