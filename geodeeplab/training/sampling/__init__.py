"""Which ground is for what, and the chips drawn from it."""
