"""All runs of a folder on one page: what each decided, what changed from run to run, and two of them side by side."""
