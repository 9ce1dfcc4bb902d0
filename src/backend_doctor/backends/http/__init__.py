"""A service's HTTP face: how it answers, by which certificate, and what its errors name."""
