"""The quantities, one file for each family."""
