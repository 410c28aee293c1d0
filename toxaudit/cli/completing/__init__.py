"""What may stand at the cursor of a command line, told without importing what a command would need."""
