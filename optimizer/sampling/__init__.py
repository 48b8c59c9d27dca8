"""Which parameters come next: the remaining combinations of a finite space."""
