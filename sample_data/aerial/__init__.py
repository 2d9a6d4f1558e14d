"""Parts of the synthetic aerial scene generator; `sample_data/make_scene.py` puts them together."""
