"""Parts of the synthetic aerial scene generator; `scene.py` puts them together."""
