"""Mutated inputs for every command, run through the command line in processes that are watched."""
