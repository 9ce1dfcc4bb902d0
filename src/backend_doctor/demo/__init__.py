"""A real backend made sick on purpose, so that everyone can watch it being diagnosed."""
