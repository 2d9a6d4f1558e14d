"""The folder of features: bounded, shared by threads, and none where it cannot be used."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from geodeeplab.adaptation.cache import FeatureCache, cache_folder
from geodeeplab.errors import GeoDeepLabWarning

SHAPE = (1000, 1)


def array(value: float, count: int = 1000) -> np.ndarray:
    return np.full((count, 1), value, dtype=np.float32)


def test_what_was_put_is_got(tmp_path: Path) -> None:
    FeatureCache(tmp_path / "new" / "folder").put("a", array(3))
    cache = FeatureCache(tmp_path / "new" / "folder")
    found = cache.get("a", SHAPE)
    assert found is not None
    assert np.array_equal(found, array(3))
    assert found.dtype == np.float32
    assert cache.get("b", SHAPE) is None
    assert cache.hits == 1
    assert [one.name for one in (tmp_path / "new" / "folder").iterdir()] == ["a.npy"]


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=3 * 4200)
    for number, key in enumerate("abc"):
        cache.put(key, array(number))
        os.utime(tmp_path / f"{key}.npy", (number, number))
    assert cache.get("a", SHAPE) is not None  # used now
    cache.put("d", array(3))
    assert sorted(one.stem for one in tmp_path.iterdir()) == ["a", "c", "d"]
    other = FeatureCache(tmp_path, most_bytes=4200)
    other.put("e", array(4))
    assert [one.stem for one in tmp_path.iterdir()] == ["e"]


def test_its_files_are_never_more_than_it_may_have(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=10_000)
    for number in range(12):
        cache.put(str(number), array(number, count=100 + 150 * (number % 5)))
        assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 10_000


def test_the_same_key_again_is_one_file(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=10_000)
    cache.put("other", array(9))
    for _ in range(5):
        cache.put("a", array(1))
    assert sorted(one.stem for one in tmp_path.iterdir()) == ["a", "other"]


def test_what_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=5000)
    cache.put("a", array(1))
    cache.put("b", array(1, count=5000))
    assert [one.stem for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"noise" * 50, np.lib.format.MAGIC_PREFIX + b"\x01\x00\xff\xff{"]
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    cache = FeatureCache(tmp_path)
    (tmp_path / "a.npy").write_bytes(content)
    assert cache.get("a", SHAPE) is None
    cache.put("a", array(2))
    assert cache.get("a", SHAPE) is not None


def test_a_file_that_was_cut_off_or_has_objects_counts_as_none(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.put("a", array(2))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-100])
    np.save(tmp_path / "b.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    assert cache.get("a", SHAPE) is None
    assert cache.get("b", SHAPE) is None
    for other in (array(2)[:, 0], array(2, count=999), array(2).astype(np.float64)):
        np.save(tmp_path / "c.npy", other)
        assert cache.get("c", SHAPE) is None


def test_threads_share_it(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=20 * 4200)

    def work(number: int) -> bool:
        key = str(number % 40)
        cache.put(key, array(number % 40))
        found = cache.get(key, SHAPE)
        return found is None or bool((found == number % 40).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    names = [one.name for one in tmp_path.iterdir()]
    assert not [one for one in names if not one.endswith(".npy")], "no temporary file is left"
    cache.put("last", array(1))
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 20 * 4200


def test_a_folder_that_cannot_be_made_is_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(GeoDeepLabWarning, match=r"cannot be written .*GEODEEPLAB_CACHE_DIR") as told:
        cache = FeatureCache(tmp_path / "file" / "folder")
    cache.put("a", array(1))  # silently
    assert len(told) == 1
    assert cache.get("a", SHAPE) is None


def test_a_disk_that_fills_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.warns(GeoDeepLabWarning, match=r"No space left on device") as told:
        cache.put("a", array(1))
    cache.put("b", array(1))  # silently
    assert len(told) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_no_cache() -> None:
    cache = FeatureCache(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("a", array(1))
    assert cache.get("a", SHAPE) is None


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEODEEPLAB_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path / "features"
    monkeypatch.delenv("GEODEEPLAB_CACHE_DIR")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "geodeeplab" / "features"
