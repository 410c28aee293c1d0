"""The words of the command line and of YAML files -> one checked audit spec."""
