"""Pictures of scenes and results."""

from geodeeplab.maps.preview import write_preview

__all__ = ["write_preview"]
