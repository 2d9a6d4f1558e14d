"""Many scenes, each with results of its own in folders."""
