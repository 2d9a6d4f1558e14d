"""Areas and lengths as line integrals of arcs."""
