"""What is printed, in any code page."""

import ast
import io
import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
import rasterio
from rasterio.errors import RasterioError

import geodeeplab
from geodeeplab.cli.evaluate import command as evaluate
from geodeeplab.cli.segment import command as segment
from geodeeplab.cli.text import as_options, drop_undecodable_logs, let_all_be_printed
from geodeeplab.cli.train import command as train

TEXT = "1024 × 768 px, …, 10–20 → вода 水 é \udcff 🌲"


@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", "cp437", "cp1250", "cp1251", "cp932", "cp936", "cp949", "utf-8"]
)
def test_any_encoding_takes_any_text(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    let_all_be_printed()
    stream.write(TEXT)
    stream.flush()
    found = raw.getvalue().decode(encoding)
    assert found.startswith(("1024 × 768 px", "1024 x 768 px"))
    assert json.loads(f'"{found}"')[-1] == "🌲"  # escapes are those of JSON, which may be what is printed
    assert encoding != "utf-8" or found == TEXT.replace("\udcff", "\\udcff")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_messages_of_gdal_that_are_no_text_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = b'<SimpleSource><SourceFilename relativeToVRT="1">no\xff.tif</SourceFilename></SimpleSource>'
    band = b'<VRTRasterBand dataType="Byte" band="1">' + source + b"</VRTRasterBand>"
    (tmp_path / "a.vrt").write_bytes(b'<VRTDataset rasterXSize="8" rasterYSize="8">' + band + b"</VRTDataset>")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    def printed() -> str:
        with suppress(RasterioError, UnicodeDecodeError), rasterio.Env(), rasterio.open(tmp_path / "a.vrt") as vrt:
            vrt.read()
        return capfd.readouterr().err

    assert "UnicodeDecodeError" in printed()
    drop_undecodable_logs()
    assert printed() == ""
    sys.excepthook(ValueError, ValueError("another"), None)
    assert capfd.readouterr().err == "ValueError: another\n"


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("pass `overwrite=True`, or choose another path", "pass --overwrite, or choose another path"),
        ("choose a smaller `tile_size=`", "choose a smaller --tile-size"),
        ('pass `rescale="2%,98%"`', "pass --rescale 2%,98%"),
        ("pass `out_crs=EPSG:4326`", "pass --out-crs EPSG:4326"),
        ("pass `bands=[4, 3, 2]`", "pass --bands 4,3,2"),
        ("leave `compiled=True` out", "leave --compiled out"),
        ("train from scratch with `weights=None`", "train from scratch with --weights none"),
        ("a class `other`, or a = b", "a class `other`, or a = b"),
    ],
)
def test_arguments_are_options(message: str, printed: str) -> None:
    assert as_options(message) == printed


def test_a_command_may_call_an_argument_otherwise() -> None:
    message = "give `polygons=`, `label_raster=` or `gsd_m='native'`, leave out `compiled=True` and `executor=`"
    words = "give --polygons, --label-raster or --gsd-m native, leave out --compile and --dask"
    assert as_options(message, segment) == words
    assert as_options("give `classes=`", evaluate) == "give --map"
    assert (
        as_options("give `classes=` or `class_mapping=`", train)
        == "give --classes or class_mapping in the --config file"
    )
    with click.Context(evaluate):
        assert as_options("give `classes=`") == "give --map"


def test_messages_name_arguments_as_python_does_between_backticks() -> None:
    """Whoever calls the library from Python has arguments; the command line translates them."""
    package = Path(geodeeplab.__file__).parent
    wrong = re.compile(r"(?:^|\s|\()--[a-z]|(?:^|[\s(])(?!(?:w1|sxy|geometry|crs)=)[a-z][a-z0-9_]+=")
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) or (
                isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
            ):
                texts = [str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)]
                found += [f"{path.name}:{node.lineno} {one}" for one in texts if wrong.search(one)]
    assert found == []
