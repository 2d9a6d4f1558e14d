"""What goes wrong half-way: a damaged scene, a full disk, Ctrl-C. No output appears; what was done is kept."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio

from tests.examples import few

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
Run = Callable[..., Any]
Refused = Callable[..., None]
Kept = Callable[..., float]


def read_outputs(folder: Path) -> tuple[np.ndarray, list[list[Any]]]:
    """Read the labels in a.tif, and the geometries and attributes in a.gpkg."""
    with rasterio.open(folder / "a.tif") as src:
        labels = src.read(1)
    _, _, geometries, fields = pyogrio.raw.read(folder / "a.gpkg", layer="landcover")
    return labels, [list(geometries), *map(list, fields)]


class TestBrokenScenes:
    @pytest.fixture
    def broken(self, make_raster: MakeRaster, blocks: Blocks) -> Path:
        scene = make_raster(blocks(600, 64), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        scene.write_bytes(scene.read_bytes()[:-5000])
        return scene

    def test_a_scene_that_breaks_off_keeps_the_old_outputs_and_the_work(
        self,
        expect_kept: Kept,
        expect_refused: Refused,
        broken: Path,
        tiny_model: Path,
        out: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("torch.get_num_threads", lambda: 2)  # tiles in flight when it breaks off
        polygons, labels = out / "a.gpkg", out / "a.tif"
        polygons.write_text("old polygons")
        labels.write_text("old labels")
        command = ["segment", broken, "-o", polygons, "--label-raster", labels, "--model", tiny_model]
        assert expect_kept(out, *command, "--overwrite", match="cut off") == 0.48
        assert expect_kept(out, *command, "--resume", match="cut off") == 0.48  # it is as broken as it was
        broken.write_bytes(broken.read_bytes() + bytes(5000))  # another file, so another scene
        expect_refused(*command, "--resume", match="cannot resume: .*was made with scene_files .*pass --overwrite")
        assert polygons.read_text() == "old polygons"

    def test_what_broke_before_the_first_block_leaves_nothing(
        self, expect_kept: Kept, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, out: Path
    ) -> None:
        scene = make_raster(blocks(100, 64), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        scene.write_bytes(scene.read_bytes()[:-5000])
        assert expect_kept(out, "segment", scene, "-o", out / "a.gpkg", "--model", tiny_model, match="cut off") == 0
        assert not list(out.iterdir())


class TestFullDisks:
    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
        """Give a function that mounts a disk of some KiB, or gives the one that is mounted this new size."""
        folder = tmp_path / "disk"

        def mount(kib: int) -> Path:
            if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
                pytest.skip("needs Linux and root to mount a small disk")
            again = folder.is_dir()
            folder.mkdir(exist_ok=True)
            options = f"remount,size={kib}k" if again else f"size={kib}k"
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
            )
            if made.returncode:
                pytest.skip("this root may not mount")
            return folder

        yield mount
        if folder.is_dir() and folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)

    @pytest.mark.parametrize("kib", few([16, 108, 4, 8, 12, 24, 64], 1))
    def test_with_more_space_the_run_goes_on(
        self,
        expect_kept: Kept,
        run: Run,
        small_disk: Callable[[int], Path],
        scene: Path,
        tiny_model: Path,
        out: Path,
        kib: int,
    ) -> None:
        # The journal alone, the spool, the label raster and the GeoPackage are what meets the end in turn.
        disk = small_disk(kib)
        full = {"match": "cannot write .*(no space left|free space)"}
        command = ["segment", scene, "-o", disk / "a.gpkg", "--label-raster", disk / "a.tif", "--model", tiny_model]
        share = expect_kept(disk, *command, **full)
        if kib >= 64:
            assert share == 1
        assert expect_kept(disk, *command, "--resume", **full) >= share  # not a byte more is free
        small_disk(20_000)
        ran = run(*command, "--resume", "--json")
        assert ran.status == 0
        assert ("nothing to resume" in ran.err) == (share == 0)
        facts = json.loads(ran.out)
        assert facts["resumed_share"] == pytest.approx(share, abs=0.01)
        assert sorted(path.name for path in disk.iterdir()) == ["a.gpkg", "a.tif", "a.tif.aux.xml"]
        whole = ["segment", scene, "-o", out / "a.gpkg", "--label-raster", out / "a.tif", "--model", tiny_model]
        assert run(*whole).status == 0
        (labels, polygons), (again, polygons_again) = read_outputs(out), read_outputs(disk)
        np.testing.assert_array_equal(labels, again)
        assert polygons == polygons_again

    def test_a_full_disk_keeps_the_old_outputs(
        self, expect_kept: Kept, run: Run, small_disk: Callable[[int], Path], scene: Path, tiny_model: Path
    ) -> None:
        disk = small_disk(64)
        polygons = disk / "a.gpkg"
        polygons.write_text("dear to someone")
        command = ["segment", scene, "-o", polygons, "--model", tiny_model]
        assert expect_kept(disk, *command, "--overwrite", match="cannot write .*space") == 1
        assert polygons.read_text() == "dear to someone"
        small_disk(20_000)
        assert run(*command, "--resume").status == 0  # the run that goes on was told to replace it
        assert [path.name for path in disk.iterdir()] == ["a.gpkg"]
        assert pyogrio.read_info(polygons, layer="landcover")["features"] > 1


class TestInterruptions:
    @pytest.fixture
    def interrupt_at(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """Give a function that lets Ctrl-C be pressed when the n-th block is to be kept."""
        from geodeeplab.raster import BlockSpool

        append = BlockSpool.append

        def press_at(number: int) -> None:
            left = number

            def interrupt(spool: BlockSpool, block: Any) -> bool:  # noqa: ANN401 - whatever `append` takes
                nonlocal left
                left -= 1
                if not left:
                    raise KeyboardInterrupt
                return append(spool, block)

            monkeypatch.setattr(BlockSpool, "append", interrupt)

        return press_at

    def test_ctrl_c_before_the_first_block(
        self, expect_refused: Refused, segment_args: list[object], interrupt_at: Callable[[int], None]
    ) -> None:
        interrupt_at(1)
        expect_refused(*segment_args, match="interrupted, nothing was written: run the command again")

    def test_ctrl_c_later_keeps_the_work(
        self,
        expect_kept: Kept,
        expect_refused: Refused,
        run: Run,
        segment_args: list[object],
        out: Path,
        interrupt_at: Callable[[int], None],
    ) -> None:
        interrupt_at(2)
        share = expect_kept(out, *segment_args, match="interrupted before the outputs were written; ")
        assert 0 < share < 1
        expect_refused(*segment_args, match=r"an interrupted run left \d+ % in .*: pass --resume .* or --overwrite to")
        expect_refused(*segment_args, "--resume", "--overwrite", match="pass one of --resume and --overwrite")
        expect_refused(
            *segment_args, "--resume", "--blend", "none", match='was made with blend "hann", now "none": give the same'
        )
        ran = run(*segment_args, "--resume")
        assert (ran.status, ran.err) == (0, "")
        assert f", {share:.0%} resumed; waited" in ran.out
        assert [path.name for path in out.iterdir()] == ["landcover.gpkg"]

    def test_ctrl_c_when_all_is_written(
        self, expect_refused: Refused, segment_args: list[object], out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from geodeeplab.pipeline.writing import OutputWriter

        publish = OutputWriter.publish

        def interrupt(*args: Any, **named: Any) -> None:  # noqa: ANN401 - whatever `publish` takes
            publish(*args, **named)
            raise KeyboardInterrupt

        monkeypatch.setattr(OutputWriter, "publish", interrupt)
        with pytest.raises(AssertionError, match=r"landcover\.gpkg"):  # where refused runs leave nothing
            expect_refused(*segment_args, match=r"interrupted at the very end; .*: all that the run was to write is")

    def test_overwrite_starts_afresh(
        self,
        expect_kept: Kept,
        run: Run,
        segment_args: list[object],
        out: Path,
        interrupt_at: Callable[[int], None],
    ) -> None:
        interrupt_at(2)
        expect_kept(out, *segment_args, match="interrupted")
        ran = run(*segment_args, "--overwrite", "--tile-size", 96, "--json")
        assert (ran.status, ran.err) == (0, "")
        assert json.loads(ran.out)["resumed_share"] == 0
        assert [path.name for path in out.iterdir()] == ["landcover.gpkg"]

    def test_out_of_memory_half_way(
        self, expect_kept: Kept, segment_args: list[object], out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr("geodeeplab.pipeline.writing.OutputWriter.publish", fail)
        assert expect_kept(out, *segment_args, match="out of memory: use a smaller --tile-size or --batch-size; ") == 1
