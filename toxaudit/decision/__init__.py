"""All rules by which something is decided: which estimate decides, the gate, the sampling, the assurance."""
