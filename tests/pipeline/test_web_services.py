"""Areas cut out of XYZ tiles, a WMS and a WMTS: the labels of a file with the same pixels, at the area's price."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.raster import open_scene
from tests.pipeline.mosaics import write_mosaic
from tests.pipeline.tile_server import TILE, Services, serve

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]
AGENT = "Survey of Example (maps@example.org)"


@pytest.fixture
def services(blocks: Blocks) -> Iterator[Services]:
    """A scene of 3 × 3 tiles, Web Mercator at 53 degrees north, of which the last ones are not whole."""
    image = np.maximum(blocks(3 * TILE - 60, 3 * TILE - 90, side=37), 1).transpose(1, 2, 0)
    with serve(Services(image=image, zoom=18, tile=(140_000, 85_000))) as served:
        yield served


def area_of(services: Services) -> shapely.Polygon:
    """Give an area in the second tile and its neighbours, in metres of Web Mercator."""
    x, y = services.origin
    corners = [(231.2, 240.7), (290, 235), (280.8, 290), (240, 270)]
    return shapely.Polygon([(x + col * services.res, y - row * services.res) for col, row in corners])


def description(services: Services, kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.xml"
    path.write_text(services.xml(kind))
    return path


def test_an_area_of_a_service(services: Services, make_raster: MakeRaster, tiny: Model, tmp_path: Path) -> None:
    area, (x, y) = area_of(services), services.origin
    transform = Affine(services.res, 0, x, 0, -services.res, y)
    file = make_raster(services.image.transpose(2, 0, 1), crs="EPSG:3857", transform=transform, photometric="rgb")
    first = TILE * services.tile[1], TILE * services.tile[0]
    run: dict[str, Any] = {"model": tiny, "aoi": area, "tile_size": 64, "overlap": 0}
    world = write_mosaic(tmp_path / "world.vrt", file, shape=(TILE << services.zoom,) * 2, at=first)
    gdl.segment(world, label_raster=tmp_path / "file.tif", crop=True, **run)
    for kind in ("xyz", "wms", "wmts"):
        services.log.clear()
        with pytest.warns(gdl.GeoDeepLabWarning, match="cropped to the area of interest"):
            gdl.segment(description(services, kind, tmp_path), label_raster=tmp_path / f"{kind}.tif", **run)
        tiles = {path for path, _ in services.log if "WMTSCap" not in path}
        assert len(tiles) == (1 if kind == "wms" else 4), "no more than the area's"
        assert {agent for _, agent in services.log} == {AGENT}
        with rasterio.open(tmp_path / "file.tif") as one, rasterio.open(tmp_path / f"{kind}.tif") as other:
            assert one.shape == other.shape == (55, 59)
            assert other.crs == "EPSG:3857"
            col, row = ~transform @ (other.transform.c, other.transform.f)
            assert abs(col - 231) + abs(row - 235) < 1e-5
            assert np.array_equal(one.read(1), other.read(1))
            assert 0 < (other.read(1) == 0).mean() < 0.5


def test_missing_tiles_have_no_label_and_a_broken_service_is_told(
    services: Services, tiny: Model, tmp_path: Path
) -> None:
    x, y = services.origin
    scene, far = description(services, "xyz", tmp_path), shapely.box(x - 400, y + 100, x - 350, y + 150)
    with pytest.raises(gdl.SceneError, match="no valid pixel within the area of interest"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, aoi=far, crop=True, tile_size=64)
    services.is_broken = True
    with pytest.raises(
        gdl.SceneError, match=r"cannot be read in the block of rows .* 500.*the service did not give it"
    ):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, aoi=area_of(services), crop=True, tile_size=64)


@pytest.mark.parametrize("kind", ["xyz", "wms", "wmts"])
def test_local_only_refuses_services(services: Services, tiny: Model, tmp_path: Path, kind: str) -> None:
    scene = description(services, kind, tmp_path)
    with pytest.raises(gdl.SceneError, match="no plain VRT"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, aoi=area_of(services), local_only=True)
    with pytest.raises(gdl.SceneError):
        open_scene(services.xml(kind), local_only=True)
    assert not services.log, "nobody was asked"


def test_the_map_lies_where_the_labels_do(services: Services, tiny: Model, tmp_path: Path) -> None:
    scene, area = description(services, "xyz", tmp_path), area_of(services)
    done = gdl.segment(
        scene,
        tmp_path / "a.gpkg",
        label_raster=tmp_path / "a.tif",
        model=tiny,
        aoi=area,
        crop=True,
        tile_size=64,
        overlap=0,
    )
    for shown in (done, replace(done, label_raster_path=None)):
        services.log.clear()
        assert len(shown.explore().to_html(max_size=256)) < 1e6
        assert len({path for path, _ in services.log}) <= 4


def test_pixels_are_as_large_as_docs_say() -> None:
    """The table of zoom levels in docs/web-services.md."""
    geod = pyproj.Geod(ellps="sphere", a=6_378_137, b=6_378_137)
    for zoom, latitude, metres in ((16, 0, 2.39), (17, 45, 0.84), (18, 0, 0.60), (18, 60, 0.30), (20, 60, 0.07)):
        degrees = 360 / 2**zoom / TILE
        assert round(geod.inv(0, latitude, degrees, latitude)[2], 2) == metres
