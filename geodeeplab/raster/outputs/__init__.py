"""Where outputs go: checks before any work, and files that appear together or not at all."""
