"""A section into somebody's README, and our keys into its metadata, byte by byte."""
