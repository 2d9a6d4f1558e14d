"""`DeepLab`: train a network on one's own labels, look at what it learned, and save it as one model file."""

from geodeeplab.learner.deeplab import DeepLab

__all__ = ["DeepLab"]
