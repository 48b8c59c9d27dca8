"""The proof: hot paths, asv suites, claims, stored baselines and the gate."""
