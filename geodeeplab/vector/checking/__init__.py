"""Look for faults in a layer of polygons, in memory that does not grow with it but for its boxes."""
