"""How the pixels of a training scene are opened again: in another process, on a grid of another pixel size."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import ScaledSource, Scene, SceneLike, open_scene

TrainingSceneLike: TypeAlias = SceneLike | Callable[[], Scene]
"""What `open_scene` takes, or a function that opens a scene, such as `functools.partial(open_stack, paths)`."""


@dataclass(frozen=True, kw_only=True)
class ScenePixels:
    """A scene that can be opened anywhere."""

    scene: TrainingSceneLike
    """What it is opened from."""
    bands: tuple[str | int, ...] | None = None
    """Names or 1-based numbers; None for all."""
    factor: tuple[Fraction, Fraction] | None = None
    """New pixels per old one along rows and columns; None for its own."""

    def open(self) -> Scene:
        """Open it.

        Raises:
            SceneError: it cannot be opened.
            OptionError: it is an open scene of files, which other processes cannot share.
        """
        scene = self._open()
        if self.factor is None:
            return scene
        return Scene(ScaledSource(scene.source, self.factor), bands=[band.number for band in scene.bands])

    def open_labels(self, *, bands: tuple[int, ...]) -> Scene:
        """Open a label raster with these bands; a palette's indices are its values."""
        if callable(self.scene) or isinstance(self.scene, Scene):
            scene = self._open()
            return Scene(scene.source, bands=bands, allow_palette=True)
        return _open_quietly(self.scene, bands, allow_palette=True)

    def _open(self) -> Scene:
        if isinstance(self.scene, Scene):
            if self.scene.source.driver != "array":
                raise OptionError(
                    f"scene '{self.scene.path}' is open already, and other processes cannot share it: pass its path, "
                    "or a function that opens it, such as functools.partial(gdl.open_stack, files)"
                )
            return self.scene if self.bands is None else self.scene.select(self.bands)
        if callable(self.scene):
            scene = self.scene()
            return scene if self.bands is None else scene.select(self.bands)
        return _open_quietly(self.scene, self.bands)

    @property
    def name(self) -> str:
        """A short name for messages and tables."""
        if isinstance(self.scene, str | PathLike):
            return Path(fspath(self.scene)).name
        if isinstance(self.scene, Sequence) and self.scene:
            first = self.scene[0]
            name = Path(fspath(first)).name if isinstance(first, str | PathLike) else "STAC item"
            return f"{name} and {len(self.scene) - 1} more"
        return self.scene.path if isinstance(self.scene, Scene) else "array"


def _open_quietly(scene: SceneLike, bands: Sequence[str | int] | None, *, allow_palette: bool = False) -> Scene:
    """Open a scene; no CRS, and data that is flagged alpha, are said once for all, when training data are prepared."""
    said = ".* has no CRS, so outputs|.* has a CRS but no transform|.* is flagged alpha, but"
    with ignore_warnings(GeoDeepLabWarning, said):
        return open_scene(scene, bands=bands, allow_palette=allow_palette)


Opened = TypeVar("Opened")


class OpenedHere(Generic[Opened]):
    """What a function opens, once for each thread of each process; can be pickled if the function can.

    A process that was forked does not touch what its parent opened: two processes that share a file's position, or
    GDAL's handle, read each other's bytes.
    """

    def __init__(self, opener: Callable[[], Opened]) -> None:
        """Take a function that opens something."""
        self._opener = opener
        self._here = threading.local()

    def get(self) -> Opened:
        """Give what is open here; open it if nothing is."""
        if getattr(self._here, "pid", None) != os.getpid():
            self._here.value, self._here.pid = self._opener(), os.getpid()
        value: Opened = self._here.value
        return value

    def pop(self) -> Opened | None:
        """Forget what is open here, and give it to be closed; None if nothing is."""
        value: Opened | None = self._here.value if getattr(self._here, "pid", None) == os.getpid() else None
        self._here = threading.local()
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"opener": self._opener}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._opener = state["opener"]
        self._here = threading.local()
