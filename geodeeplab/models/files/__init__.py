"""The model file, its input contract, and networks of other origin."""
