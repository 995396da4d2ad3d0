"""A recording takes the memory of one network call, however long the run is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdrt

ROOT = Path(sdrt.__file__).parents[1]

# A run of Stable Diffusion 1.5's shapes: 2x4x64x64 latents, 2x77x768 text states; the networks are a line of numpy each. With an argument
# for the recording's file, it is recorded.
CODE = """
import sys, sdrt
from contextlib import nullcontext
from sdrt.benchmarking.machine import peak_memory_mib, reset_peak_memory
from tests.fake_backend import FakeBackend
model, steps, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pipe = sdrt.load(model, backend=FakeBackend())
options = dict(height=512, width=512, seed=1, scheduler="euler_ancestral", num_images=4)
pipe.generate("warm", num_inference_steps=2, **options)
with sdrt.compare.record(file, pipe) if file else nullcontext():
    pipe.generate("a red circle", num_inference_steps=steps, **options)
print(peak_memory_mib())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano with the widths of Stable Diffusion 1.5 in its configurations; nobody reads its weights."""
    folder = tmp_path_factory.mktemp("models") / "sd15"
    shutil.copytree(sdrt.models.path("nano"), folder)
    for component, change in (("unet", {"cross_attention_dim": 768}), ("text_encoder", {"hidden_size": 768})):
        file = folder / component / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    return folder


def peak(model: Path, steps: int, file: Path | str = "") -> float:
    command = [sys.executable, "-c", CODE, str(model), str(steps), str(file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_fifty_steps_take_the_memory_of_one_call(tmp_path: Path, model: Path) -> None:
    """The file is larger than all that recording may take, so that events which stay in memory are seen."""
    plain, recorded = peak(model, 50), peak(model, 50, tmp_path / "run.sdrt")
    written = (tmp_path / "run.sdrt").stat().st_size / 2**20
    assert written > 100
    # one call holds 6 MiB here: what comes beside it are the modules that recording imports
    assert recorded - plain < 40
