"""What a resumed run compares."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from geodeeplab.pipeline.pins import files_of
from geodeeplab.raster import open_scene

MakeRaster = Callable[..., Path]
STATISTICS = '<MDI key="STATISTICS_MEAN">90.7</MDI>'
BAND = '<PAMDataset><PAMRasterBand band="1"><Metadata>{}</Metadata></PAMRasterBand></PAMDataset>'


def test_statistics_that_another_program_adds_beside_the_scene_are_no_change(make_raster: MakeRaster) -> None:
    """QGIS does so for every raster that it opens."""
    path = make_raster(np.ones((1, 4, 4), np.uint8))
    side_file = Path(f"{path}.aux.xml")
    alone = files_of(open_scene(path))
    side_file.write_text(BAND.format(STATISTICS))
    assert files_of(open_scene(path)) == alone
    side_file.write_text(BAND.format('<MDI key="other">1</MDI>'))
    other = files_of(open_scene(path))
    assert [len(one) for one in other] == [3, 2]
    side_file.write_text(BAND.format(f'{STATISTICS}<MDI key="other">1</MDI>'))
    assert files_of(open_scene(path)) == other


def test_a_side_file_that_cannot_be_read_counts_as_any_file(make_raster: MakeRaster) -> None:
    path = make_raster(np.ones((1, 4, 4), np.uint8))
    scene = open_scene(path)
    Path(f"{path}.aux.xml").write_text(BAND.format("<"))
    assert len(files_of(scene)) == 1
    assert all(len(one) == 3 for one in files_of(open_scene(path)))
