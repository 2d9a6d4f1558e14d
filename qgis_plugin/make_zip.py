"""Make the zip that QGIS installs: the plugin, with the wheel of `make dist` in it.

.venv/bin/python qgis_plugin/make_zip.py dist/geodeeplab_qgis.zip --wheel dist/geodeeplab-*.whl
.venv/bin/python qgis_plugin/make_zip.py --cards    # writes models.json anew after a bundled model has changed
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "geodeeplab_qgis"
SUFFIXES = (".py", ".txt", ".svg", ".json", "")
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of all files, so that the same content gives the same zip."""


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="zip to write")
    parser.add_argument("--wheel", type=Path, help="wheel that the plugin carries")
    parser.add_argument("--cards", action="store_true", help="write models.json from the bundled models")
    options = parser.parse_args()
    if options.cards:
        (PLUGIN / "models.json").write_text(cards_json(), encoding="utf-8")
    if options.output is not None:
        write_zip(options.output, options.wheel)
        print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    elif not options.cards:
        sys.exit("name a zip to write, or --cards")


def write_zip(path: Path, wheel: Path | None) -> None:
    """Write the zip, with the folder that QGIS puts among its plugins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in plugin_files():
            add(archive, f"{PLUGIN.name}/{source.relative_to(PLUGIN).as_posix()}", source)
        add(archive, f"{PLUGIN.name}/README.md", HERE / "README.md")
        if wheel is not None:
            add(archive, f"{PLUGIN.name}/wheel/{wheel.name}", wheel)


def plugin_files() -> list[Path]:
    """List what belongs to the plugin."""
    files = (path for path in PLUGIN.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in files if path.suffix in SUFFIXES and "wheel" not in path.relative_to(PLUGIN).parts)


def add(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    """Add one file; a wheel is compressed already."""
    kind = zipfile.ZIP_STORED if source.suffix == ".whl" else zipfile.ZIP_DEFLATED
    archive.writestr(zipfile.ZipInfo(name, EARLIEST), source.read_bytes(), kind)


def cards_json() -> str:
    """Give the cards of the bundled models, as models.json has them."""
    sys.path.insert(0, str(HERE.parent))
    from geodeeplab.models import iter_bundled, read_contract
    from qgis_plugin.geodeeplab_qgis.engine.models import to_card

    cards = [asdict(to_card(json.loads(read_contract(name).to_json()))) for name in iter_bundled()]
    return json.dumps(cards, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
