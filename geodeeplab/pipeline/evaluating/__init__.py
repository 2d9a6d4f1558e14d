"""Labels measured against a truth."""
