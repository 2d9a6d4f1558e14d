"""Look for faults in a layer of polygons before it is delivered."""
