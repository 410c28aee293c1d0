"""What this machine has: folders, threads, memory, speed, and the progress that it shows."""
