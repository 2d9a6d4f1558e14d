"""Refuse files that are too large for the repository (a pre-commit hook).

Usage: python scripts/check_file_sizes.py --max-kb 1024 FILE...
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path


def oversized(paths: Iterable[Path], *, max_kb: int) -> list[tuple[Path, int]]:
    """List the files larger than a limit.

    Args:
        paths: Files; names that are not files (deleted, folders) are passed over.
        max_kb: The largest size that is allowed, in units of 1024 bytes.

    Returns:
        Path and size in KB, rounded up, of each file above the limit, in the order given.
    """
    sizes = ((path, -(-path.stat().st_size // 1024)) for path in paths if path.is_file())
    return [(path, size_kb) for path, size_kb in sizes if size_kb > max_kb]


def main(argv: Sequence[str] | None = None) -> int:
    """Print each oversized file on one line; return 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--max-kb", type=int, required=True)
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(argv)
    found = oversized(options.paths, max_kb=options.max_kb)
    for path, size_kb in found:
        print(f"{path}: {size_kb} KB, the limit is {options.max_kb} KB: keep large files out of the repository")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
