"""How the pixels of a training scene are opened again: in another process, on a grid of another pixel size."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from geodeeplab.errors import GeoDeepLabWarning, OptionError
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
            return f"{Path(fspath(self.scene[0])).name} and {len(self.scene) - 1} more"
        return self.scene.path if isinstance(self.scene, Scene) else "array"


def _open_quietly(scene: SceneLike, bands: Sequence[str | int] | None, *, allow_palette: bool = False) -> Scene:
    """Open a scene; that it has no CRS is said once for all scenes, when training data are prepared."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* has no CRS, so outputs|.* has a CRS but no transform", GeoDeepLabWarning)
        return open_scene(scene, bands=bands, allow_palette=allow_palette)
