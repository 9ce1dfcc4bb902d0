"""MongoDB 4.4 and later."""
