"""Write the sample files `scene.tif`, `truth.gpkg`, `rgbn.tif` and `rgbn_labels.tif` beside this file.

`python sample_data/make_scene.py`; what draws them lies in `scripts/aerial`.
"""

import sys
from pathlib import Path

SEED, STYLE = 46, "temperate"
RGBN_SEED, RGBN_SHAPE = 47, (768, 768)
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Write the sample files beside this file."""
    sys.path.insert(0, str(FOLDER.parent / "scripts"))
    from aerial.files import write_label_raster, write_multispectral, write_picture, write_truth
    from aerial.scene import make_scene

    scene = make_scene(SEED, style=STYLE)
    write_picture(scene.image, scene.valid, FOLDER / "scene.tif", seed=SEED, style=STYLE)
    write_truth(scene.labels, scene.valid, FOLDER / "truth.gpkg")
    rgbn = make_scene(RGBN_SEED, shape=RGBN_SHAPE, style=STYLE, near_infrared=True)
    write_multispectral(rgbn.image, FOLDER / "rgbn.tif", seed=RGBN_SEED, style=STYLE)
    write_label_raster(rgbn.labels, FOLDER / "rgbn_labels.tif")


if __name__ == "__main__":
    main()
