"""Right angles and straight walls for the polygons of some classes."""
