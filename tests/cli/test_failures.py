"""What goes wrong half-way: a damaged scene, a full disk, Ctrl-C."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
Refused = Callable[..., None]


class TestFailures:
    """What goes wrong half-way leaves no output and keeps the ones that were there."""

    def test_a_scene_that_breaks_off_keeps_the_old_outputs(
        self, expect_refused: Refused, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, out: Path
    ) -> None:
        scene = make_raster(blocks(600, 64), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        scene.write_bytes(scene.read_bytes()[:-5000])
        polygons, labels = out / "a.gpkg", out / "a.tif"
        polygons.write_text("old polygons")
        labels.write_text("old labels")
        expect_refused(
            "segment", scene, "-o", polygons, "--labels", labels, "--model", tiny_model, "--overwrite", match="cut off"
        )
        assert polygons.read_text() == "old polygons"

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
        """Give a function that mounts a disk of some KiB."""
        mounted = []

        def mount(kib: int) -> Path:
            if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
                pytest.skip("needs Linux and root to mount a small disk")
            folder = tmp_path / "disk"
            folder.mkdir()
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], capture_output=True, check=False
            )
            if made.returncode:
                pytest.skip("this root may not mount")
            mounted.append(folder)
            return folder

        yield mount
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    @pytest.mark.parametrize("kib", [4, 8, 16, 24, 64, 108])
    def test_a_disk_that_fills_up(
        self,
        expect_refused: Refused,
        small_disk: Callable[[int], Path],
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny_model: Path,
        kib: int,
    ) -> None:
        # The journal alone, the spool, the label raster and the GeoPackage are what meets the end in turn.
        disk = small_disk(kib)
        scene = make_raster(blocks(150, 200), photometric="rgb")
        outputs = ["-o", disk / "a.gpkg", "--labels", disk / "a.tif"]
        expect_refused(
            "segment", scene, *outputs, "--model", tiny_model, match="cannot write .*(no space left|free space)"
        )
        assert not list(disk.iterdir())

    def test_a_full_disk_keeps_the_old_outputs(
        self, expect_refused: Refused, small_disk: Callable[[int], Path], scene: Path, tiny_model: Path
    ) -> None:
        disk = small_disk(64)
        polygons = disk / "a.gpkg"
        polygons.write_text("dear to someone")
        expect_refused(
            "segment", scene, "-o", polygons, "--model", tiny_model, "--overwrite", match="cannot write .*space"
        )
        assert [path.name for path in disk.iterdir()] == ["a.gpkg"]
        assert polygons.read_text() == "dear to someone"

    def test_ctrl_c(self, expect_refused: Refused, segment_args: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
        from geodeeplab.raster import RowSpool

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(RowSpool, "append", interrupt)
        expect_refused(*segment_args, match="interrupted, nothing was written: run the command again")
