"""The parts of hier_paired: its model, its density and gradient in numba, its start, its check of flips."""
