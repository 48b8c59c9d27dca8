"""The plain twin of every fast function: fallback, test oracle, "before" of the benchmarks."""
