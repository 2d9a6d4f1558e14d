"""What the wheel holds beside the package: the scene of `geodeeplab demo`; editable installs have it in their tree."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SampleScene(BuildHookInterface[Any]):
    """Puts the scene beside the bundled models."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add it, but for `editable`, where it would lie in a folder that hides the package's name."""
        if version == "standard":
            build_data["force_include"]["sample_data/scene.tif"] = "geodeeplab/bundled/scene.tif"
