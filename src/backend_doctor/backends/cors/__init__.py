"""Cross-origin requests: what a browser would decide for the declared clients."""
