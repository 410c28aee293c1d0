"""Finished work, kept under names that cover all that changes it and nothing else."""
