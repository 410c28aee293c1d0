"""What a run would do, read and cost; nothing here loads weights."""
