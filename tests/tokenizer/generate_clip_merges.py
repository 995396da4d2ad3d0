"""Make ``sdrt/tokenizer/clip/merges.bin`` from CLIP's ``vocab.json`` and ``merges.txt``.

    python -m tests.tokenizer.generate_clip_merges FOLDER

The folder is that of any tokenizer with CLIP's vocabulary, such as ``tokenizer/`` of a Stable Diffusion 1.x model.
Layout: one zlib stream of u8[4,48894]: the low and high bytes of each merge's left id, then those of its right id.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

MERGES = Path(__file__).parents[2] / "sdrt" / "tokenizer" / "clip" / "merges.bin"


def main(folder: Path) -> None:
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    pairs = np.array([[ids[token] for token in line.split(" ")] for line in lines], np.uint16)
    planes = np.stack([pairs[:, 0] & 255, pairs[:, 0] >> 8, pairs[:, 1] & 255, pairs[:, 1] >> 8]).astype(np.uint8)
    packed = zlib.compress(planes.tobytes(), 9)
    MERGES.write_bytes(packed)
    print(f"{len(pairs):,} merges in {len(packed):,} bytes: {MERGES}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
