"""Every reference of a spec at one commit, and the lock file that repeats a run."""
