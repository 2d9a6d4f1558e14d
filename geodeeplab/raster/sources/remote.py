"""Rasters that are read over the network: their names for GDAL, the options to read them well, errors that say so."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.env import get_gdal_config
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import is_spectral
from geodeeplab.raster.decoding import describe_window
from geodeeplab.raster.sources.file import SERVICES, FileSource
from geodeeplab.raster.sources.opacity import is_measured
from geodeeplab.raster.sources.opening import open_dataset, root_cause
from geodeeplab.raster.sources.source import Pixels, Source

VSI_OF_SCHEME = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
"""GDAL's prefix instead of `scheme://`."""

REMOTE_VSI = ("vsicurl", "vsis3", "vsigs", "vsiaz", "vsiadls", "vsioss", "vsiswift", "vsihdfs", "vsiwebhdfs")

OPTIONS: dict[str, str | float] = {
    # No listing of the folder. Not EMPTY_DIR, which also hides a mask or metadata beside the file: the same file
    # would have other valid pixels than on disk. Looking for them by name costs nine requests without a body.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,  # seconds, about doubled each time
    # A server that accepts but never answers would hold the run for ever.
    "GDAL_HTTP_CONNECTTIMEOUT": 30,
    "GDAL_HTTP_LOW_SPEED_TIME": 60,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    # Blocks are read once: GDAL's second cache, 25 MB for every open file, saved nothing when measured.
    "VSI_CACHE": "FALSE",
}
"""What GDAL is told while it reads over the network, unless the user's environment says otherwise."""

SAMPLED_FILES = 16
"""Files of a list whose alpha bands are looked at, at most."""

SECRETS = (
    "sig",
    "signature",
    "token",
    "key",
    "credential",
    "password",
    "se",
    "st",
    "expires",
    "policy",
    "skoid",
    "sktid",
)
SECRET_PREFIXES = ("x-amz-", "x-goog-", "x-ms-", "ske", "skt", "sks", "skv")


def is_remote(path: str) -> bool:
    """Tell whether a path or URL is read over the network, an archive in a bucket (`/vsizip//vsis3/...`) included."""
    if path.startswith("/vsi"):
        return any(f"/{name}/" in path or f"/{name}?" in path for name in REMOTE_VSI)
    return _scheme(path) in VSI_OF_SCHEME


def is_networked(source: Source) -> bool:
    """Tell whether a source is read over the network: it has a remote file, or is a web service."""
    return source.driver in SERVICES or any(is_remote(file) for file in source.files)


def gdal_path(path: str) -> str:
    """Give GDAL's name of a path or URL.

    `https://host/a.tif` is `/vsicurl/https://host/a.tif`, `s3://bucket/a.tif` is `/vsis3/bucket/a.tif`; `file://`
    becomes a path, anything else is left as it is.

    Raises:
        SceneError: see `check_name`.
    """
    check_name(path)
    scheme = _scheme(path)
    if scheme == "file":
        from urllib.request import url2pathname  # its import takes a tenth of the start

        return url2pathname(urlsplit(path).path)
    if scheme in VSI_OF_SCHEME:
        return VSI_OF_SCHEME[scheme] + path[len(scheme) + 3 :]
    return path


def check_name(path: str) -> None:
    """Refuse a path or URL that nothing can be opened by.

    Raises:
        SceneError: the name is not UTF-8, as that of a file on Linux need not be, or has a character of no value.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise SceneError(f"the name {path!r} is not UTF-8, which GDAL cannot open: rename the file")
    if "\0" in path:
        raise SceneError(f"the name {path!r} has a character of value 0, which no file has: correct the path")


def public_name(path: str) -> str:
    """Give a path or URL as it may stand in messages and files: without passwords, signatures, tokens, expiry dates.

    Law: what stays names the same file tomorrow, when the URL has been signed anew.
    """
    start = path.find("://")
    if start < 0:
        return path
    head = path[:start].rpartition("/")[0] + "/" if path.startswith("/vsi") else ""
    parts = urlsplit(path[len(head) :])
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if not _is_secret(name)], safe="/:,")
    return head + urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, parts.fragment))


@contextmanager
def remote_env() -> Iterator[None]:
    """Set `OPTIONS` for GDAL within a `with` statement, but for those that the user has set."""
    with rasterio.Env(**{name: value for name, value in OPTIONS.items() if get_gdal_config(name) is None}):
        yield


def open_file(path: str, *, measured: Collection[int] | None = None) -> Source:
    """Open a raster file, on disk or remote, as a source.

    Args:
        path: a path, a URL (https, s3, gs, az) or a `/vsi...` name of GDAL's.
        measured: bands that are data though the file calls them alpha; None to look at their pixels.

    Raises:
        SceneError: the file is missing or out of reach, or cannot be a scene; see `open_dataset`.
    """
    return over_network(open_file_source(path, measured=measured))


def spread(paths: Iterable[str]) -> list[str]:
    """Give some of a list of files, spread over it: those that `measured_in_all` looks at."""
    listed = list(paths)
    return listed[:: max(1, len(listed) // SAMPLED_FILES)][:SAMPLED_FILES]


def measured_in_all(paths: Sequence[str]) -> frozenset[int]:
    """Decide for files of one form together which bands flagged alpha are data, from some files spread over the list.

    Water alone, or nothing but forest, says little: a band that is data in one file is data in all of them.
    """
    samples: dict[int, list[npt.NDArray[np.generic]]] = {}
    named: set[int] = set()
    for path in spread(paths):
        source = open_file_source(path, measured=())
        with closing(source), remote_env():
            named.update(band.number for band in source.bands if band.is_alpha and is_spectral(band.name))
            for number, values in source.sample_alphas().items():
                samples.setdefault(number, []).append(values)
    return frozenset(named) | {number for number, parts in samples.items() if is_measured(np.concatenate(parts))}


def open_file_source(path: str, *, measured: Collection[int] | None = None) -> FileSource:
    """Open a raster file like `open_file`; a remote one is ready to be read only after `over_network`."""
    name = gdal_path(path)
    if not is_remote(path):
        with rasterio.Env():  # takes GDAL's own warnings to the log instead of stderr
            return FileSource(open_dataset(name), path=path, measured=measured)
    with remote_env():
        try:
            return FileSource(open_dataset(name), path=public_name(path), measured=measured)
        except SceneError as error:
            if error.__cause__ is None:  # it could be opened, and was refused for what it is
                raise SceneError(str(error).replace(name, public_name(path))) from None
            reason = root_cause(error).replace(name, public_name(path))
            raise SceneError(
                f"scene '{public_name(path)}' cannot be opened over the network ({reason}): {_advice(reason)}"
            ) from error.__cause__


def over_network(source: FileSource) -> Source:
    """Give the source that reads a file with the options for the network, if it or a file behind it is remote."""
    return RemoteSource(source) if any(is_remote(file) for file in source.files) else source


class RemoteSource:
    """A file that is read over the network; see `Source`."""

    def __init__(self, source: FileSource) -> None:
        """Take an open file, which is closed with the source."""
        self._source = source
        self.path = source.path
        self.grid = source.grid
        self.bands = source.bands
        self.driver = source.driver
        self.tags = source.tags
        self.least_rows = source.least_rows
        self.files = tuple(dict.fromkeys(_url_of(public_name(file)) for file in source.files))

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks, see `Source.block_shape`."""
        return self._source.block_shape(numbers)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`."""
        try:
            with remote_env():
                return self._source.read(window, numbers)
        except SceneError as error:
            raise SceneError(
                f"scene '{self.path}' cannot be read over the network in {describe_window(window)} "
                f"({root_cause(error)}): the server failed, cut the connection or sent a damaged file; try again "
                "later, or copy the file here first"
            ) from error

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        with remote_env():  # the first look for masks may look for a file
            return self._source.is_all_valid(numbers)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _scheme(path: str) -> str:
    scheme, separator, _ = path.partition("://")
    return scheme.lower() if separator else ""


def _url_of(name: str) -> str:
    """Turn GDAL's name back into a URL, as far as `gdal_path` made it."""
    for scheme, prefix in VSI_OF_SCHEME.items():
        if name.startswith(prefix):
            return f"{scheme}://{name[len(prefix) :]}"
    return name


def _is_secret(name: str) -> bool:
    plain = name.lower()
    return plain.startswith(SECRET_PREFIXES) or any(word in plain.replace("-", "_").split("_") for word in SECRETS)


def _advice(reason: str) -> str:
    if "ange downloading not supported" in reason:
        return "its server sends whole files only, no parts of one; copy the file here first"
    if "404" in reason or "does not exist" in reason:
        return "check the address"
    if "401" in reason or "403" in reason:
        return "it needs credentials, or its signature has expired; sign it again"
    return "check the address and the network, or try again later"
