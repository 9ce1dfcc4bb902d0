"""Plans: which statements get one, how it is had without harm, and what it shows."""
