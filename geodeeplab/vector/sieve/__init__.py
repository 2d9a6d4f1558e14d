"""The minimum mapping unit: label rows in, label rows out."""
