"""A persistent pool of worker processes, and the data that they share without copies."""
