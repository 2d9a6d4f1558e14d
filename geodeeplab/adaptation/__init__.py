"""A map from a few polygons of the scene itself: frozen features, a small head, an honest report."""
