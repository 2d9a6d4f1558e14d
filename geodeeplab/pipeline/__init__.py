"""The whole way, composed of the parts: `segment` and `vectorize`.

One module a function, so that `vectorize` runs without loading torch.
"""
