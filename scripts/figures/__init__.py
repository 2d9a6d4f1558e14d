"""The figures of the page "The DeepLab line", for `draw_architectures.py`."""
