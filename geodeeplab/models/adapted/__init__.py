"""Networks made from a few polygons: frozen encoders and colour features, and a small head over both."""
