"""Labelled scenes: pixels with their class indices, from scenes and polygons or label rasters."""
