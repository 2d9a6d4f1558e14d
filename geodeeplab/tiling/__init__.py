"""The tile lattice and its shards: integers only."""

from geodeeplab.tiling.lattice import Axis, Lattice, Shard, Tile

__all__ = ["Axis", "Lattice", "Shard", "Tile"]
