"""One model in memory, decoded in the fastest way whose tokens are those of transformers' generate."""
