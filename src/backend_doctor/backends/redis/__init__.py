"""Redis 6 and later, and Valkey."""
