"""Simplify and smooth arcs, so that neighbours never part."""
