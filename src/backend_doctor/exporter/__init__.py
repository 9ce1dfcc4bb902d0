"""Ways for Prometheus to fetch what a run found."""
