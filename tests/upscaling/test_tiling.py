"""Tiles: their layout as properties, their pictures beside those of the whole."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.arrays import Array
from sdrt.metrics import psnr
from sdrt.upscaling import load_upscaler
from sdrt.upscaling.tiling import layout
from tests.upscalers import compact_tensors, rrdb_tensors, save_upscaler


@given(
    side=st.integers(1, 3000),
    tile=st.integers(16, 500),
    share=st.integers(0, 3),
    multiple=st.sampled_from([1, 2, 4]),
    radius=st.integers(0, 200),
    scale=st.sampled_from([1, 2, 4]),
)
def test_tiles_cover_a_side_once(side: int, tile: int, share: int, multiple: int, radius: int, scale: int) -> None:
    """No tile is larger than asked, each begins at whole squares, and all weights at a pixel sum to 1."""
    overlap = tile * share // 9
    cut = layout(side, tile, overlap, multiple, radius)
    assert (cut.runs[0].start, cut.runs[-1].stop) == (0, side)
    assert all(run.start % multiple == 0 for run in cut.runs)
    assert all(run.stop - run.start <= max(tile, multiple) for run in cut.runs)
    for before, after in zip(cut.runs, cut.runs[1:], strict=False):
        assert before.stop - after.start >= min(overlap, before.stop - before.start)
    total = np.zeros(scale * side)
    for index, run in enumerate(cut.runs):
        total[scale * run.start : scale * run.stop] += cut.weights(index, scale)
    np.testing.assert_allclose(total, 1, atol=1e-12)


# Random networks that look about as far as trained ones: of 23 blocks a trained one's outer blocks change little.
FORMS = {
    "rrdb x4": lambda: rrdb_tensors(width=16, growth=8, blocks=6),
    "rrdb x2": lambda: rrdb_tensors(blocks=3, unshuffle=2),
    "rrdb x1": lambda: rrdb_tensors(blocks=2, unshuffle=4),
}


def _picture(width: int, height: int) -> Image.Image:
    """Smooth colours with an edge and a little noise: what a seam would show in."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + columns / (11 + 4 * channel)) * 60 + 128 for channel in range(3)]
    pixels = np.stack(waves, 2) + np.where(rows > columns, 40, -40)[..., None]
    pixels += np.random.default_rng(3).normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Array, Array]]:
    """The whole picture and that of two to three tiles a side, for each form, with a smaller overlap than the default of large tiles."""
    folder, pairs = tmp_path_factory.mktemp("upscalers"), {}
    for form, tensors in FORMS.items():
        file = save_upscaler(folder / f"{form}.safetensors", tensors())
        unit = {"rrdb x4": 1, "rrdb x2": 2, "rrdb x1": 4}[form]
        image = _picture(110 * unit, 70 * unit)
        pieces = [load_upscaler(file, tile=tile, overlap=20 * unit)(image) for tile in (10_000, 60 * unit)]
        pairs[form] = (np.asarray(pieces[0]), np.asarray(pieces[1]))
    return pairs


@pytest.mark.parametrize("form", FORMS)
def test_no_seam_shows(form: str, upscaled: Mapping[str, tuple[Array, Array]]) -> None:
    """What tiles change in the steps from pixel to pixel is no larger where they begin, end or fade than elsewhere."""
    whole, tiled = (each.astype(float) for each in upscaled[form])
    for axis in (0, 1):
        # how much each line of steps differs from the whole picture's, along that axis
        changed = np.abs(np.diff(tiled, axis=axis) - np.diff(whole, axis=axis)).mean(axis=(1 - axis, 2))
        # measured is 0.02 of 255; the picture's own steps are of 2 on average
        assert changed.max() < 0.1
        assert np.abs(np.diff(whole, axis=axis)).mean() > 1


def test_a_compact_network_sees_the_whole_in_its_tiles(tmp_path: Path) -> None:
    """With an overlap of more than twice its radius, here 5 pixels, up to rounding."""
    file = save_upscaler(tmp_path / "a.safetensors", compact_tensors(scale=2))
    picture = _picture(90, 61)
    whole = np.asarray(load_upscaler(file)(picture)).astype(int)
    tiled = np.asarray(load_upscaler(file, tile=36, overlap=12)(picture))
    assert np.abs(tiled - whole).max() <= 1
    assert np.mean(tiled != whole) < 1e-3
    narrow = np.asarray(load_upscaler(file, tile=36, overlap=2)(picture))
    assert np.mean(narrow != whole) > 1e-3, "an overlap that does not matter shows nothing"


def test_memory_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    """No call of the network takes more than a tile."""
    upscaler = load_upscaler(save_upscaler(tmp_path / "a.safetensors", compact_tensors(width=4, convs=0, scale=1)), tile=64)
    sizes: list[tuple[int, ...]] = []
    pool = upscaler._pool.watched(lambda _component, inputs, _outputs: sizes.append(inputs["image"].shape))  # type: ignore[attr-defined]
    upscaler._pool = pool  # type: ignore[attr-defined]
    upscaler(_picture(300, 200))
    assert len(sizes) > 15
    assert all(n == 1 and max(height, width) <= 64 for n, _, height, width in sizes)


@pytest.mark.parametrize("form", FORMS)
def test_tiles_come_near_the_whole(form: str, upscaled: Mapping[str, tuple[Array, Array]]) -> None:
    whole, tiled = upscaled[form]
    assert whole.std() > 20
    # measured is 82
    assert psnr(whole.astype(float), tiled.astype(float), 255.0) > 70
