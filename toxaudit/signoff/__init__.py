"""A release decision, signed by people with keys of their own, and checked by anybody offline."""
