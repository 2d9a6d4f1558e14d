"""Polygons of users: areas of interest and labelled layers, projected and burnt."""
