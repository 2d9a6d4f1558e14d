"""Finished blocks of a run on disk, their journal and the folder that they lie in."""
