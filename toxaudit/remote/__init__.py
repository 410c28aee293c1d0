"""HTTP to servers of models: keys, retries, waits, and why a request fails."""
