"""Write a trained nano as it ships in the package: weights in half precision, a configuration that says float32.

    python train/nano_ship.py runs/nano-words/model mllmqa/models/nano/weights

The folder's model card stays as it is: its figures are measured on what was written, and written by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mllmqa.models.load import load_backend
from mllmqa.models.nano import build
from mllmqa.models.resolve import resolve


def main() -> None:
    """Load, save, say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    backend = load_backend(resolve(str(args.model)), device="cpu", dtype="float32")
    build.save(backend.model, backend.processor, args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {backend.model.num_parameters() / 1e6:.1f} M parameters, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
