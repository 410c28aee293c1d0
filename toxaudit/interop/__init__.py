"""The room where results take the forms that other programs read."""
