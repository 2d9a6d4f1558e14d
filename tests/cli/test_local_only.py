"""`--local-only` of every command that opens what users name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import geodeeplab as gdl
from geodeeplab.cli import commands
from geodeeplab.errors import GeoDeepLabError
from geodeeplab.raster.scene_opening import open_stack
from geodeeplab.raster.sources.local_only import is_local_only

REFUSED = "cannot be opened with `local_only=True`"


@pytest.fixture
def foreign(make_raster: Callable[..., Path], tmp_path: Path) -> str:
    """Give a VRT that names a raster outside of its folder."""
    make_raster(np.ones((3, 8, 8), np.uint8), "secret.tif")
    path = tmp_path / "inside" / "a.vrt"
    path.parent.mkdir()
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><SimpleSource><SourceFilename relativeToVRT="1">../secret.tif'
        f"</SourceFilename><SourceBand>{n}</SourceBand></SimpleSource></VRTRasterBand>"
        for n in (1, 2, 3)
    )
    srs = "<SRS>EPSG:32633</SRS><GeoTransform>500000,1,0,5000000,0,-1</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{srs}{bands}</VRTDataset>')
    return str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "SCENE"],
        ["segment", "SCENE", "-o", "OUT/a.gpkg"],
        ["vectorize", "SCENE", "-o", "OUT/a.gpkg"],
        ["evaluate", "SCENE", "SCENE"],
        ["chips", "SCENE", "--labels", "SCENE", "-o", "OUT/chips"],
        ["train", "SCENE", "--labels", "SCENE", "-o", "OUT/a.safetensors"],
    ],
)
def test_all_commands(foreign: str, tmp_path: Path, arguments: list[str]) -> None:
    stated = [one.replace("SCENE", foreign).replace("OUT", str(tmp_path)) for one in arguments]
    found = CliRunner().invoke(commands, [*stated, "--local-only"])
    assert isinstance(found.exception, GeoDeepLabError)
    assert REFUSED in str(found.exception)
    assert not is_local_only()


def test_functions(foreign: str, tmp_path: Path) -> None:
    for run in (
        lambda: gdl.open_scene(foreign, local_only=True),
        lambda: gdl.segment(foreign, tmp_path / "a.gpkg", local_only=True),
        lambda: gdl.preflight(foreign, local_only=True),
        lambda: gdl.vectorize(foreign, tmp_path / "a.gpkg", local_only=True),
        lambda: gdl.evaluate(foreign, foreign, local_only=True),
        lambda: gdl.prepare_data(scenes=foreign, labels=foreign, local_only=True),
        lambda: gdl.export_chips(foreign, foreign, tmp_path / "chips", local_only=True),
        lambda: open_stack([foreign], local_only=True),
    ):
        with pytest.raises(GeoDeepLabError, match=REFUSED):
            run()
    gdl.open_scene(foreign).close()


def test_chips_are_looked_at_before_any_is_opened(foreign: str, tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / "chips" / name).mkdir(parents=True)
        (tmp_path / "chips" / name / "a.tif").write_bytes(Path(foreign).read_bytes())
    with pytest.raises(GeoDeepLabError, match=REFUSED):
        gdl.prepare_data(tmp_path / "chips", class_mapping={1: "a"}, local_only=True)
    with pytest.raises(GeoDeepLabError, match=REFUSED):
        gdl.open_chip_folder(tmp_path / "chips", class_mapping={1: "a"}, local_only=True)
