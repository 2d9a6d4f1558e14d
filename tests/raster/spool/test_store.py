import errno
import json
import os
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.errors import OutputError
from geodeeplab.raster.spool.encoded import EncodedBlock, SpoolLayer, encode_block
from geodeeplab.raster.spool.reading import follow_rows, iter_rows, read_part
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.tiling import Lattice, Shard
from tests.examples import examples

LABELS = SpoolLayer(name="labels", dtype="uint8")
Block = tuple[int, int, int, int]


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Laws are tested on hundreds of blocks; no test here cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def labels_of(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 6, shape, dtype=np.uint8)


def block_of(labels: NDArray[np.uint8], box: Block) -> EncodedBlock:
    top, bottom, left, right = box
    return encode_block(top, left, {"labels": labels[top:bottom, left:right]}, count="labels")


def rows_of(spool: BlockSpool, layer: str = "labels", height: int = 512) -> NDArray[np.generic]:
    parts = list(iter_rows(spool, layer, height))
    starts = np.cumsum([0, *(part.shape[-2] for _, part in parts)])
    assert [start for start, _ in parts] == starts[:-1].tolist()
    assert all(part.shape[-2] <= height for _, part in parts)
    return np.concatenate([part for _, part in parts], axis=-2)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@st.composite
def tilings(draw: st.DrawFn, height: int = 40, width: int = 30) -> list[Block]:
    """Boxes that tile the scene, in any order."""
    todo, done = [(0, height, 0, width)], list[Block]()
    while todo:
        top, bottom, left, right = todo.pop()
        cut = draw(st.integers(top, bottom))
        if len(todo) + len(done) > 8:
            done.append((top, bottom, left, right))
        elif draw(st.booleans()) and left + 1 < right:
            todo += [(top, bottom, left, (left + right) // 2), (top, bottom, (left + right) // 2, right)]
        elif top < cut < bottom:
            todo += [(top, cut, left, right), (cut, bottom, left, right)]
        else:
            done.append((top, bottom, left, right))
    return draw(st.permutations(done))


@settings(max_examples=examples(30))
@given(tiling=tilings(), height=st.integers(1, 50), bands=st.integers(1, 3))
def test_pixels_come_back_whatever_the_blocks(tiling: list[Block], height: int, bands: int) -> None:
    labels = labels_of((40, 30))
    probs = np.random.default_rng(1).random((bands, 40, 30)).astype(np.float16)
    layers = [LABELS, SpoolLayer(name="probs", dtype="float16", bands=bands)]
    with TemporaryDirectory() as folder:
        spool = BlockSpool(folder, (40, 30), layers)
        for top, bottom, left, right in tiling:
            assert not spool.is_complete
            arrays: dict[str, NDArray[Any]] = {
                "labels": labels[top:bottom, left:right],
                "probs": probs[:, top:bottom, left:right],
            }
            assert spool.append(encode_block(top, left, arrays, count="labels"))
        assert spool.is_complete
        assert (spool.block_count, spool.pixel_count) == (len(tiling), 1200)
        for opened in (spool, BlockSpool.open(folder)):
            np.testing.assert_array_equal(rows_of(opened, height=height), labels)
            np.testing.assert_array_equal(rows_of(opened, "probs", height).reshape(probs.shape), probs)
            assert opened.class_pixels == {label: int((labels == label).sum()) for label in range(1, 6)}


def test_journal_names_each_file_once_it_is_safe(tmp_path: Path) -> None:
    labels = labels_of((5, 4))
    spool = BlockSpool(tmp_path, (5, 4), [LABELS], {"model": "m", "bands": (1, 2)})
    spool.append(block_of(labels, (3, 5, 0, 4)))
    spool.append(block_of(labels, (0, 3, 0, 4)))
    header, *lines = [json.loads(line) for line in (tmp_path / "blocks.journal").read_text().splitlines()]
    assert header["header"] == {"model": "m", "bands": [1, 2]} == spool.header
    assert (header["shape"], header["layers"]) == ([5, 4], [{"name": "labels", "dtype": "uint8", "bands": 1}])
    assert [(line["rows"], line["cols"]) for line in lines] == [([3, 5], [0, 4]), ([0, 3], [0, 4])]
    for line in lines:
        (file,) = line["files"]
        content = (tmp_path / file["name"]).read_bytes()
        assert (file["bytes"], file["crc32"]) == (len(content), zlib.crc32(content))
    assert spool.byte_count == spool.layer_bytes("labels") == sum(line["files"][0]["bytes"] for line in lines)
    assert [entry.box for entry in spool.entries] == [(0, 3, 0, 4), (3, 5, 0, 4)]
    assert len(files_in(tmp_path)) == 3


@settings(deadline=None, max_examples=examples(30))
@given(
    tiling=tilings(), rows=st.tuples(st.integers(0, 40), st.integers(0, 40)), cols=st.tuples(*[st.integers(0, 30)] * 2)
)
def test_any_part_is_read(tiling: list[Block], rows: tuple[int, int], cols: tuple[int, int]) -> None:
    labels = labels_of((40, 30))
    (top, bottom), (left, right) = sorted(rows), sorted(cols)
    with TemporaryDirectory() as name:
        spool = BlockSpool(name, labels.shape, [LABELS])
        for box in tiling:
            spool.append(block_of(labels, box))
        part = read_part(spool, "labels", rows=(top, bottom), cols=(left, right))
    np.testing.assert_array_equal(part, labels[top:bottom, left:right])


class TestFollow:
    @settings(deadline=None, max_examples=examples(30))
    @given(tiling=tilings(), order=st.randoms(), height=st.integers(1, 50))
    def test_rows_come_while_blocks_are_added_in_any_order(
        self, tiling: list[Block], order: random.Random, height: int
    ) -> None:
        labels = labels_of((40, 30))
        order.shuffle(tiling)
        with TemporaryDirectory() as name, ThreadPoolExecutor(1) as pool:
            spool = BlockSpool(name, labels.shape, [LABELS])
            followed = pool.submit(lambda: [rows for (rows,) in follow_rows(spool, ["labels"], height=height)])
            for box in tiling:
                spool.append(block_of(labels, box))
            rows = followed.result()
        np.testing.assert_array_equal(np.concatenate(rows), labels)
        assert all(len(one) <= height for one in rows)

    def test_who_gives_up_waits_no_longer(self, tmp_path: Path) -> None:
        labels, abandoned = labels_of((40, 30)), threading.Event()
        spool = BlockSpool(tmp_path, labels.shape, [LABELS])
        spool.append(block_of(labels, (0, 10, 0, 30)))
        rows = follow_rows(spool, ["labels"], abandoned=abandoned)
        np.testing.assert_array_equal(next(rows)[0], labels[:10])
        abandoned.set()
        assert list(rows) == []


class TestAppend:
    def test_a_block_that_is_there_is_not_written_again(self, tmp_path: Path) -> None:
        spool = BlockSpool(tmp_path, (5, 4), [LABELS])
        assert spool.append(block_of(labels_of((5, 4)), (0, 2, 0, 4)))
        journal = (tmp_path / "blocks.journal").read_bytes()
        assert not spool.append(block_of(labels_of((5, 4), seed=1), (0, 2, 0, 4)))
        assert (tmp_path / "blocks.journal").read_bytes() == journal

    @pytest.mark.parametrize("box", [(1, 3, 0, 4), (0, 1, 3, 4), (0, 2, 0, 3)])
    def test_refuses_blocks_that_overlap(self, tmp_path: Path, box: Block) -> None:
        spool = BlockSpool(tmp_path, (5, 4), [LABELS])
        spool.append(block_of(labels_of((5, 4)), (0, 2, 0, 4)))
        with pytest.raises(ValueError, match="overlaps another or the scene's edge"):
            spool.append(block_of(labels_of((5, 4)), box))

    def test_refuses_blocks_past_the_edge_and_other_layers(self, tmp_path: Path) -> None:
        spool = BlockSpool(tmp_path, (5, 4), [LABELS])
        with pytest.raises(ValueError, match="overlaps another or the scene's edge"):
            spool.append(encode_block(4, 0, {"labels": labels_of((2, 4))}))
        for arrays in ({"others": labels_of((2, 4))}, {"labels": labels_of((2, 4)).astype(np.int32)}):
            with pytest.raises(ValueError, match="takes blocks of the layers"):
                spool.append(encode_block(0, 0, arrays))
        with pytest.raises(ValueError, match="has the layers labels, not probs"):
            spool.layer("probs")

    def test_threads_may_append_at_once(self, tmp_path: Path) -> None:
        labels = labels_of((40, 8))
        spool = BlockSpool(tmp_path, labels.shape, [LABELS])
        boxes = [(top, top + 2, left, left + 4) for top in range(0, 40, 2) for left in (0, 4)]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda box: spool.append(block_of(labels, box)), boxes))
        np.testing.assert_array_equal(rows_of(BlockSpool.open(tmp_path)), labels)

    @pytest.mark.parametrize("failing", range(3))
    def test_a_full_disk_is_told_and_the_spool_stays_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
    ) -> None:
        labels = labels_of((4, 3))
        spool = BlockSpool(tmp_path, (4, 3), [LABELS])
        spool.append(block_of(labels, (0, 2, 0, 3)))
        before, calls = files_in(tmp_path), iter(range(100))
        journal, sync = (tmp_path / "blocks.journal").read_bytes(), os.fsync

        def fill_up(descriptor: int) -> None:
            if next(calls) == failing:  # the file, the folder, the journal
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        with monkeypatch.context() as patch, pytest.raises(OutputError, match="no space left"):  # noqa: PT012
            patch.setattr(os, "fsync", fill_up)
            spool.append(block_of(labels, (2, 4, 0, 3)))
        assert files_in(tmp_path) == before
        assert (tmp_path / "blocks.journal").read_bytes() == journal
        spool.append(block_of(labels, (2, 4, 0, 3)))
        np.testing.assert_array_equal(rows_of(BlockSpool.open(tmp_path)), labels)


class TestOpen:
    """What an earlier run left, in whatever state."""

    @pytest.fixture
    def spool(self, tmp_path: Path) -> BlockSpool:
        spool = BlockSpool(tmp_path, (6, 3), [LABELS])
        for top in (0, 2, 4):
            spool.append(block_of(labels_of((6, 3)), (top, top + 2, 0, 3)))
        return spool

    @pytest.mark.parametrize("harm", ["remove", "cut", "flip", "grow"])
    def test_a_damaged_file_counts_as_not_done(self, spool: BlockSpool, harm: str) -> None:
        path = spool.folder / spool.entries[1].file(LABELS)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        new = {"cut": path.read_bytes()[:-1], "flip": bytes(content), "grow": path.read_bytes() + b"\0"}
        path.unlink() if harm == "remove" else path.write_bytes(new[harm])
        again = BlockSpool.open(spool.folder)
        assert [entry.box[0] for entry in again.entries] == [0, 4]
        assert not path.exists()
        assert len((spool.folder / "blocks.journal").read_text().splitlines()) == 3

    def test_files_without_a_line_are_removed(self, spool: BlockSpool) -> None:
        stray = [
            "labels-000000009-000000000.tif",
            ".labels-0.ab.geodeeplab-part",
        ]
        for name in (*stray, "notes.txt"):
            (spool.folder / name).touch()
        BlockSpool.open(spool.folder)
        assert not set(stray) & set(files_in(spool.folder))
        assert (spool.folder / "notes.txt").exists()

    @pytest.mark.parametrize("torn", [b'{"rows": [4, 6], "co', b"\0\0\0\0", b"\n\n", b'{"rows": [4, 6]}\n'])
    def test_a_torn_line_is_ignored_and_what_follows_is_kept(self, spool: BlockSpool, torn: bytes) -> None:
        journal = spool.folder / "blocks.journal"
        *lines, _ = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines) + torn)
        again = BlockSpool.open(spool.folder)
        assert [entry.box[0] for entry in again.entries] == [0, 2]
        again.append(block_of(labels_of((6, 3)), (4, 6, 0, 3)))
        np.testing.assert_array_equal(rows_of(BlockSpool.open(spool.folder)), labels_of((6, 3)))

    def test_a_line_that_lacks_only_its_end(self, spool: BlockSpool) -> None:
        journal = spool.folder / "blocks.journal"
        journal.write_bytes(journal.read_bytes()[:-1])
        assert BlockSpool.open(spool.folder).is_complete
        assert journal.read_bytes().endswith(b"\n")

    def test_a_whole_spool_is_left_alone(self, spool: BlockSpool) -> None:
        before = {path.name: path.stat().st_mtime_ns for path in spool.folder.iterdir()}
        BlockSpool.open(spool.folder)
        assert {path.name: path.stat().st_mtime_ns for path in spool.folder.iterdir()} == before

    def test_refuses_what_it_cannot_go_on_with(self, spool: BlockSpool, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"blocks\.journal belongs to an earlier run"):
            BlockSpool(spool.folder, (6, 3), [LABELS])
        journal = spool.folder / "blocks.journal"
        journal.write_text(journal.read_text().replace('"version": 4', '"version": 9'))
        with pytest.raises(OutputError, match="is damaged"):
            BlockSpool.open(spool.folder)
        journal.unlink()
        with pytest.raises(OutputError, match="does not exist"):
            BlockSpool.open(spool.folder)


class TestResumeShard:
    """A shard is done from the top; what is left begins at its first missing row."""

    @settings(max_examples=examples(30))
    @given(
        shard_shape=st.tuples(st.integers(3, 20), st.integers(3, 20)),
        step=st.integers(2, 7),
        lost=st.floats(0, 1),
        seed=st.integers(0, 9),
    )
    def test_a_run_that_lost_any_files_ends_as_one_that_did_not(
        self, shard_shape: tuple[int, int], step: int, lost: float, seed: int
    ) -> None:
        labels, rng = labels_of((20, 16)), random.Random(seed)
        shards = list(Lattice(shape=(20, 16), tile_size=8, overlap=2).iter_shards(*shard_shape))
        with TemporaryDirectory() as folder:
            spool = BlockSpool(folder, (20, 16), [LABELS])
            for _ in range(3):
                for shard in rng.sample(shards, len(shards)):
                    left = spool.resume_shard(shard)
                    if left is not None and rng.random() > lost / 2:
                        self.work(spool, labels, left, step)
                for entry in spool.entries:
                    if rng.random() < lost:
                        (spool.folder / entry.file(LABELS)).unlink()
                spool = BlockSpool.open(folder)
            for shard in shards:
                left = spool.resume_shard(shard)
                if left is not None:
                    assert (left.row_stop, left.col_start, left.col_stop) == (
                        shard.row_stop,
                        shard.col_start,
                        shard.col_stop,
                    )
                    self.work(spool, labels, left, step)
                assert spool.resume_shard(shard) is None
            np.testing.assert_array_equal(rows_of(spool), labels)
            assert spool.class_pixels == {label: int((labels == label).sum()) for label in range(1, 6)}
            assert len(files_in(Path(folder))) == spool.block_count + 1

    @staticmethod
    def work(spool: BlockSpool, labels: NDArray[np.uint8], shard: Shard, step: int) -> None:
        for top in range(shard.row_start, shard.row_stop, step):
            bottom = min(top + step, shard.row_stop)
            spool.append(block_of(labels, (top, bottom, shard.col_start, shard.col_stop)))

    def test_blocks_below_a_missing_one_come_again(self, tmp_path: Path) -> None:
        labels, shard = labels_of((6, 3)), Shard(row_start=0, row_stop=6, col_start=0, col_stop=3)
        spool = BlockSpool(tmp_path, (6, 3), [LABELS])
        self.work(spool, labels, shard, 2)
        (tmp_path / spool.entries[1].file(LABELS)).unlink()
        again = BlockSpool.open(tmp_path)
        assert again.resume_shard(shard) == Shard(row_start=2, row_stop=6, col_start=0, col_stop=3)
        assert files_in(tmp_path) == ["blocks.journal", again.entries[0].file(LABELS)]
        assert again.class_pixels == {label: n for label in range(1, 6) if (n := int((labels[:2] == label).sum()))}

    def test_blocks_of_other_shards_are_refused_if_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "narrow").mkdir()
        spool = BlockSpool(tmp_path, (6, 8), [LABELS])
        spool.append(block_of(labels_of((6, 8)), (0, 4, 0, 8)))
        assert spool.resume_shard(Shard(row_start=0, row_stop=4, col_start=0, col_stop=4)) is None
        below = Shard(row_start=0, row_stop=6, col_start=4, col_stop=8)
        assert spool.resume_shard(below) == Shard(row_start=4, row_stop=6, col_start=4, col_stop=8)
        narrow = BlockSpool(tmp_path / "narrow", (6, 8), [LABELS])
        narrow.append(block_of(labels_of((6, 8)), (2, 4, 0, 8)))
        with pytest.raises(ValueError, match="was made for other shards"):
            narrow.resume_shard(below)


WRITER = """
import sys
import numpy as np
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.store import BlockSpool

spool = BlockSpool(sys.argv[1], (100_000, 8), [SpoolLayer(name="labels", dtype="uint8")])
for row in range(100_000):
    spool.append(encode_block(row, 0, {"labels": np.full((1, 8), row % 251, np.uint8)}, count="labels"))
    print(row, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40])
def test_what_was_appended_before_a_kill_is_there(tmp_path: Path, lines: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(lines)][-1]
        process.kill()
        told = max([told, *(int(line) for line in process.stdout.read().splitlines() if line)])
    spool = BlockSpool.open(tmp_path)
    assert told < spool.block_count <= told + 2
    for entry in spool.entries:
        with rasterio.open(tmp_path / entry.file(LABELS)) as src:
            assert (src.read(1)[entry.box[0] % 512 :] == entry.box[0] % 251).all()
    assert len(files_in(tmp_path)) == spool.block_count + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_keeps_what_was_done(small_disk: Path, blocks: Callable[..., NDArray[np.uint8]]) -> None:
    noise = blocks(400, 100, bands=1)[0]
    spool, done = BlockSpool(small_disk, (400, 100), [LABELS]), 0
    with pytest.raises(OutputError, match=r"cannot write .* no space left on the disk"):  # noqa: PT012
        for top in range(0, 400, 10):
            spool.append(block_of(noise, (top, top + 10, 0, 100)))
            done += 1
    assert done > 2
    again = BlockSpool.open(small_disk)
    assert again.block_count == spool.block_count == done
    for entry in again.entries:
        with rasterio.open(small_disk / entry.file(LABELS)) as src:
            np.testing.assert_array_equal(src.read(1)[entry.box[0] :], noise[entry.box[0] : entry.box[1]])
