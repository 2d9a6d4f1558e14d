"""Command lines."""

import pytest

from qgis_plugin.geodeeplab_qgis.engine.arguments import command_line, shown, split_words
from qgis_plugin.geodeeplab_qgis.engine.errors import PluginError


def test_what_is_not_given_is_left_out_and_no_value_is_taken_for_an_option() -> None:
    options = {"--aoi": None, "--smooth": True, "--objects": False, "--name": "", "--nodata": -1, "--tolerance-m": 0.5}
    found = command_line("segment", ["-odd.tif"], options | {"--labels": ["a.gpkg", "b.gpkg"]})
    assert found == [
        "segment", "--progress=json", "--overwrite", "--smooth", "--nodata=-1", "--tolerance-m=0.5",
        "--labels=a.gpkg", "--labels=b.gpkg", "--", "-odd.tif",
    ]  # fmt: skip


def test_a_run_that_goes_on_replaces_nothing() -> None:
    found = command_line("segment", ["a.tif"], {}, is_resumed=True)
    assert "--resume" in found
    assert "--overwrite" not in found


def test_further_options_are_split_as_in_a_shell_but_for_backslashes() -> None:
    found = command_line("segment", ["a.tif"], {}, further=r'--tta d4 --name "two words" --aoi C:\data\a.gpkg')
    assert found[3:-2] == ["--tta", "d4", "--name", "two words", "--aoi", r"C:\data\a.gpkg"]
    with pytest.raises(PluginError, match="is not closed"):
        split_words('--name "open')


def test_it_is_shown_as_one_may_paste_it() -> None:
    assert shown(["geodeeplab", "a b.tif"]) == "geodeeplab 'a b.tif'"
