"""The same run on several processes or machines, through Dask."""

from geodeeplab.cluster.dask import Dask, parse_dask
from geodeeplab.cluster.shards import cut_shards

__all__ = ["Dask", "cut_shards", "parse_dask"]
