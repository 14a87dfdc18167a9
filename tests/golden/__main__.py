"""`python -m tests.golden FILE...`: prints file, quantity and error of each tensor; exit code 0 only within tolerance."""

import argparse
import sys
import zlib
from pathlib import Path
from zipfile import BadZipFile

from tests.golden import CONVERTERS, FOLDERS, compare, default_root, types


def main() -> int:
    """Compares the files and reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help=".npz files; default: all known ones beside the checkout")
    parser.add_argument("--dtype", choices=("float64", "float32", "both"), default="both")
    options = parser.parse_args()
    files = options.files or [str(p) for p in sorted(default_root().glob("*/*.npz")) if p.parent.name in FOLDERS]
    if not files:
        parser.error(f"no files given and none found under {default_root()}")
    failed = False
    for path in files:
        for dtype in ("float64", "float32") if options.dtype == "both" else (options.dtype,):
            try:
                if dtype not in types(path):
                    print(f"{Path(path).name:28s} {dtype}  not compared: a sort decides by differences of 1e-12")
                    continue
                rows = list(compare(path, dtype))
            except (ValueError, OSError, KeyError, EOFError, BadZipFile, zlib.error) as error:
                print(f"{path}  {dtype}  FAILED  {type(error).__name__}: {error}")
                failed = True
                continue
            for row in rows:
                verdict = "ok" if row.passed else "FAILED"
                print(
                    f"{Path(path).name:28s} {dtype}  {row.name:24s} max abs error {row.absolute:.2e}  "
                    f"relative {row.relative:.2e} (<= {row.tolerance:.0e})  {verdict}"
                )
                failed |= not row.passed
            if not any(row.name.startswith("grad.") for row in rows):
                print(f"{Path(path).name:28s} {dtype}  holds no gradients: none are compared")
    print("FAILED" if failed else f"all within tolerance ({len(files)} files, references: {', '.join(CONVERTERS)})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
