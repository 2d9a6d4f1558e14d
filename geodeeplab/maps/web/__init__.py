"""Maps in the browser: one HTML file that asks nobody for anything."""

from geodeeplab.maps.web.inputs import tell_kinds
from geodeeplab.maps.web.map import MAP_SUFFIXES, Map

__all__ = ["MAP_SUFFIXES", "Map", "tell_kinds"]
