"""Web services of a generated scene, for tests: XYZ tiles, WMS and WMTS in Web Mercator on the same address."""

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HALF_WORLD_M = math.pi * 6_378_137.0
TILE = 256

WORLD = f"""<UpperLeftX>-{HALF_WORLD_M}</UpperLeftX><UpperLeftY>{HALF_WORLD_M}</UpperLeftY>
    <LowerRightX>{HALF_WORLD_M}</LowerRightX><LowerRightY>-{HALF_WORLD_M}</LowerRightY>"""


@dataclass(kw_only=True)
class Services:
    """A scene as services; elsewhere in the world there are no tiles, and a WMS draws black."""

    image: NDArray[np.uint8]
    """(H, W, 3)."""
    zoom: int
    """Level that the scene is on."""
    tile: tuple[int, int]
    """x and y of the tile in whose corner it begins."""
    url: str = ""
    """Address of the server."""
    log: list[tuple[str, str]] = field(default_factory=list)
    """Path and user agent of every request."""
    is_broken: bool = False
    """Whether every answer is an error of the server."""

    @property
    def res(self) -> float:
        """Pixel size in metres of Web Mercator."""
        return 2 * HALF_WORLD_M / (TILE << self.zoom)

    @property
    def origin(self) -> tuple[float, float]:
        """x and y of the scene's upper left corner."""
        return self.tile[0] * TILE * self.res - HALF_WORLD_M, HALF_WORLD_M - self.tile[1] * TILE * self.res

    def xml(self, kind: str) -> str:
        """Give GDAL's description of a service, as docs/web-services.md has them."""
        if kind == "wmts":
            return f"""<GDAL_WMTS><GetCapabilitiesUrl>{self.url}/WMTSCapabilities.xml</GetCapabilitiesUrl>
  <Layer>ortho</Layer><TileMatrixSet>web</TileMatrixSet><TileMatrix>{self.zoom}</TileMatrix>
  <BandsCount>3</BandsCount><UserAgent>Survey of Example (maps@example.org)</UserAgent></GDAL_WMTS>"""
        if kind == "xyz":
            service = f'<Service name="TMS"><ServerUrl>{self.url}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
            size = f"<TileLevel>{self.zoom}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
            size, block = f"{size}<YOrigin>top</YOrigin>", TILE
        else:
            service = f"""<Service name="WMS"><Version>1.3.0</Version><ServerUrl>{self.url}/wms?</ServerUrl>
              <CRS>EPSG:3857</CRS><ImageFormat>image/png</ImageFormat><Layers>ortho</Layers><Styles/></Service>"""
            side, block = TILE * 2**self.zoom, 512
            size = f"<SizeX>{side}</SizeX><SizeY>{side}</SizeY>"
        return f"""<GDAL_WMS>{service}
  <DataWindow>{WORLD}{size}</DataWindow><Projection>EPSG:3857</Projection>
  <BlockSizeX>{block}</BlockSizeX><BlockSizeY>{block}</BlockSizeY><BandsCount>3</BandsCount>
  <DataValues NoData="0"/><ZeroBlockHttpCodes>204,404</ZeroBlockHttpCodes>
  <UserAgent>Survey of Example (maps@example.org)</UserAgent><Timeout>10</Timeout><MaxConnections>2</MaxConnections>
</GDAL_WMS>"""

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Give type and body of an answer; None for what is not there."""
        parts = urlsplit(path)
        query = {key.lower(): values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.endswith("WMTSCapabilities.xml"):
            return "text/xml", self._capabilities().encode()
        if query.get("request") == "GetMap":
            left, _, _, top = map(float, query["bbox"].split(","))
            col, row = round((left + HALF_WORLD_M) / self.res), round((HALF_WORLD_M - top) / self.res)
            height, width = int(query["height"]), int(query["width"])
            found = self._cut(row, col, height, width)
            return "image/png", _png(np.zeros((height, width, 3), np.uint8) if found is None else found)
        tile = re.fullmatch(r"/(\d+)/(\d+)/(\d+)\.png", parts.path)
        if tile is None or int(tile[1]) != self.zoom:
            return None
        found = self._cut(int(tile[3]) * TILE, int(tile[2]) * TILE, TILE, TILE)
        return None if found is None else ("image/png", _png(found))

    def _cut(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8] | None:
        """Cut pixels of the world, black outside of the scene; None where there are none of it."""
        row, col = row - self.tile[1] * TILE, col - self.tile[0] * TILE
        top, bottom = max(row, 0), min(row + height, self.image.shape[0])
        left, right = max(col, 0), min(col + width, self.image.shape[1])
        if top >= bottom or left >= right:
            return None
        out = np.zeros((height, width, 3), np.uint8)
        out[top - row : bottom - row, left - col : right - col] = self.image[top:bottom, left:right]
        return out

    def _capabilities(self) -> str:
        matrices = "".join(
            f"""<TileMatrix><ows:Identifier>{zoom}</ows:Identifier>
            <ScaleDenominator>{2 * HALF_WORLD_M / TILE / 2**zoom / 0.00028!r}</ScaleDenominator>
            <TopLeftCorner>-{HALF_WORLD_M!r} {HALF_WORLD_M!r}</TopLeftCorner><TileWidth>256</TileWidth>
            <TileHeight>256</TileHeight><MatrixWidth>{2**zoom}</MatrixWidth><MatrixHeight>{2**zoom}</MatrixHeight>
            </TileMatrix>"""
            for zoom in range(self.zoom + 1)
        )
        return f"""<?xml version="1.0"?>
<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1" version="1.0.0">
<Contents><Layer><ows:Identifier>ortho</ows:Identifier>
<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style><Format>image/png</Format>
<TileMatrixSetLink><TileMatrixSet>web</TileMatrixSet></TileMatrixSetLink><ResourceURL format="image/png"
 resourceType="tile" template="{self.url}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png"/></Layer>
<TileMatrixSet><ows:Identifier>web</ows:Identifier>
<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>{matrices}</TileMatrixSet></Contents></Capabilities>"""


def _png(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


@contextmanager
def serve(services: Services) -> Iterator[Services]:
    """Answer requests in threads of this process, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            services.log.append((self.path, self.headers.get("User-Agent", "")))
            found = None if services.is_broken else services.answer(self.path)
            kind, body = found or ("text/plain", b"")
            self.send_response(200 if found else 500 if services.is_broken else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        services.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield services
        finally:
            server.shutdown()
            thread.join()
