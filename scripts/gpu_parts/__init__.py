"""The parts of `gpu_check.py`: each is a function that takes a `Bench` and records what it finds."""
