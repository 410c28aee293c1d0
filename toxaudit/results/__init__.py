"""What a run found, in files: written for machines, and read back strictly."""
