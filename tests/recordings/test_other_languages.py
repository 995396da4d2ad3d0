"""A recording that another language writes, with nothing of sdrt."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sdrt.recordings import Recording

SCRIPT = Path(__file__).parents[2] / "docs" / "write-recording.mjs"
NODE = shutil.which("node")


def has_crc32() -> bool:
    """node has it since 20.15."""
    return NODE is not None and subprocess.run([NODE, "-e", "process.exit(require('zlib').crc32 ? 0 : 1)"], check=False).returncode == 0


@pytest.mark.skipif(not has_crc32(), reason="needs node 20.15 or newer")
def test_javascript_writes_a_whole_recording(tmp_path: Path) -> None:
    assert NODE is not None
    subprocess.run([NODE, str(SCRIPT), "run.sdrt"], cwd=tmp_path, check=True)
    recording = Recording.open(tmp_path / "run.sdrt")
    assert recording.lost is None
    recording.verify()
    assert [(event.kind, event.step, event.component) for event in recording.events()] == [
        ("begin", None, None),
        ("network", 0, "unet"),
        ("step", 0, None),
        ("end", None, None),
    ]
    call = recording.arrays(recording.events(kind="network")[0])
    assert np.array_equal(call["output.noise_pred"], np.array([0.2, -1, 0.4, 1.5], np.float32).reshape(1, 4, 1, 1))
    assert recording.outcome() == "finished"


def test_the_example_is_as_short_as_the_document_says() -> None:
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 150
