"""What lives on disk: one store contract, one schema, one file."""
