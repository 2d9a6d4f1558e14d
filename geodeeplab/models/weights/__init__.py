"""Pretrained weights: found, matched and loaded."""
