"""Tokens: a sample decoded strictly and offline, its secret, and the clocks of who issues them."""
