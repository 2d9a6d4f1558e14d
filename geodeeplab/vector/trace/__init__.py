"""From rows of labels to arcs and polygons."""
