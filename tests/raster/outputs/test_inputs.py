import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geodeeplab.errors import OptionError
from geodeeplab.raster import open_scene
from geodeeplab.raster.outputs.checks import check_distinct, check_output
from geodeeplab.raster.outputs.inputs import check_not_inputs, iter_files, paths_in

MakeRaster = Callable[..., Path]


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    return make_raster(np.ones((3, 8, 8), np.uint8), "scene.tif")


def vrt(path: Path, source: str, *, tag: str = "SourceFilename") -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<{tag} relativeToVRT="1">{source}</{tag}><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def spelled(scene: Path) -> dict[str, str]:
    folder = scene.parent
    (folder / "inner").mkdir(exist_ok=True)
    vrt(folder / "inner" / "one.vrt", "../scene.tif")
    item = {"type": "Feature", "assets": {"a": {"href": "./inner/one.vrt"}}}
    (folder / "item.json").write_text(json.dumps(item))
    return {
        "plain": str(scene),
        "dots": f"{folder}/inner/../scene.tif",
        "url": scene.as_uri(),
        "vrt://": f"vrt://{scene}?bands=1",
        "subdataset": f"GTIFF_DIR:1:{scene}",
        "archive": f"/vsizip/{scene}/member.tif",
        "part": f"/vsisubfile/0_100,{scene}",
        "VRT of a VRT": str(vrt(folder / "two.vrt", "inner/one.vrt")),
        "vector VRT": str(vrt(folder / "layer.vrt", "scene.tif", tag="SrcDataSource")),
        "STAC item": str(folder / "item.json"),
        "inline VRT": (folder / "inner" / "one.vrt").read_text().replace("../", f"{folder}/"),
    }


@pytest.mark.parametrize("how", [
    "plain", "dots", "url", "vrt://", "subdataset", "archive", "part", "VRT of a VRT", "vector VRT", "STAC item",
    "inline VRT",
])  # fmt: skip
def test_an_input_is_known_by_any_spelling_and_under_any_name(scene: Path, how: str) -> None:
    name = spelled(scene)[how]
    os.link(scene, scene.with_name("hard.tif"))
    scene.with_name("soft.tif").symlink_to(scene)
    for output in ("scene.tif", "hard.tif", "soft.tif"):
        with pytest.raises(OptionError, match="also an input"):
            check_output(scene.with_name(output), suffixes=[".tif"], overwrite=True, inputs=["https://a.b/c.tif", name])
    scene.with_name("other.tif").touch()
    check_output(scene.with_name("other.tif"), suffixes=[".tif"], overwrite=True, inputs=[name])


def test_an_input_is_known_from_what_was_given(scene: Path) -> None:
    item = {"type": "Feature", "assets": {"a": {"href": str(scene)}}}
    linked = {
        "type": "Feature",
        "links": [{"rel": "self", "href": str(scene.with_name("i.json"))}],
        "assets": {"a": {"href": "scene.tif"}},
    }
    with open_scene(scene) as opened:
        for given in (scene, [str(scene)], [[scene], None], item, linked, opened, np.zeros(3), None):
            files = [os.path.realpath(file) for name in paths_in(given) for file in iter_files(name)]
            assert files == ([] if given is None or isinstance(given, np.ndarray) else [str(scene)])


def test_a_sidecar_of_an_output_is_no_input_either(scene: Path) -> None:
    mask = scene.with_name("out.tif.msk")
    scene.rename(mask)
    with pytest.raises(OptionError, match=r"out\.tif is also an input"):
        check_not_inputs([scene.with_name("out.tif")], [mask])


def test_strange_inputs_are_nobodys_files(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("<" + "a" * 1000)
    (tmp_path / "b.json").write_bytes(b'{"href": "\\ud800", "href": "\\u0000", "href": "' + b"x" * 5000 + b'"}\xff')
    for name in ("\0", "", "x" * 10_000, "{" * 1000, str(tmp_path), str(tmp_path / "a.tif"), str(tmp_path / "b.json")):
        assert set(iter_files(name)) <= {str(tmp_path / "a.tif"), str(tmp_path / "b.json")}


def test_two_outputs_are_one_file_through_links_and_in_other_letters(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    os.link(tmp_path / "a.tif", tmp_path / "b.tif")
    for one, other in (("a.tif", "b.tif"), ("c.tif", "C.tif"), ("\u00e9.tif", "e\u0301.tif")):
        with pytest.raises(OptionError, match="two outputs have the same path"):
            check_distinct([tmp_path / one, tmp_path / other])
