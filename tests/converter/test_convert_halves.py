"""All steps together: converted, compared, compressed, cut in two, bundled; and halves of existing packages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter.compression.settings import Palettization
from converter.conversion import convert
from converter.options import Attention, ConvertOptions
from converter.progress import ProgressUpdate
from sdrt.backends.coreml import MLProgram, describe
from sdrt.errors import ConversionError
from tests.converter.apples_readers import SwiftModel, swift_latents, swift_noise
from tests.factories import Form

Folders = Callable[[Form], Path]


@pytest.fixture(scope="module")
def whole(model_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[ConvertOptions, list[ProgressUpdate]]:
    """A U-Net of 8 bits in halves, and the reported progress."""
    steps: list[ProgressUpdate] = []
    options = ConvertOptions(
        model=str(model_folder("sd1")),
        out=tmp_path_factory.mktemp("halves"),
        parts=("unet",),
        attention=Attention.ORIGINAL,
        compression=Palettization(nbits=8),
        chunk=True,
        bundle=True,
    )
    report = convert(options, progress=steps.append)
    (outcome,) = report.outcomes
    stem = "Stable_Diffusion_version_tiny-sd1_unet"
    assert [path.name for path in outcome.packages] == [f"{stem}{end}.mlpackage" for end in ("", "_chunk1", "_chunk2")]
    assert [what for what, _ in outcome.verifications] == ["converted", "compressed", "cut in two"]
    assert all(verification.passed for _, verification in outcome.verifications)
    assert report.resources == options.out / "Resources"
    return options, steps


def test_everything_is_there_and_remembers_its_options(whole: tuple[ConvertOptions, list[ProgressUpdate]]) -> None:
    options, _ = whole
    packages = sorted(options.out.glob("*.mlpackage"))
    assert len(packages) == 3
    for package in packages:
        found = describe(package)
        assert found.user_defined["sdrt.compression"].startswith("Palettization(nbits=8")
        assert found.metadata["version"] == "tiny-sd1"
        assert any("palettized 8 bit" in function.compression for function in found.functions)
        assert found.user_defined["com.github.apple.ml-stable-diffusion.version"] == "1.1.0"
        assert all(feature.text for feature in (*found.inputs, *found.outputs))
    resources = {path.name for path in (options.out / "Resources").iterdir()}
    assert {"UnetChunk1.mlpackage", "UnetChunk2.mlpackage", "vocab.json", "merges.txt", "sdrt.json"} <= resources


def test_stages_come_in_order(whole: tuple[ConvertOptions, list[ProgressUpdate]]) -> None:
    _, steps = whole
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["reading", "converting", "comparing with its source", "compressing", "cutting in two", "bundling"]
    assert all(0 <= step.done <= step.total for step in steps)


def test_swift_chains_the_halves_of_resources(whole: tuple[ConvertOptions, list[ProgressUpdate]]) -> None:
    options, _ = whole
    halves = [SwiftModel(options.out / "Resources" / f"UnetChunk{number}.mlpackage") for number in (1, 2)]
    assert swift_latents(halves) == ((2, 4, 8, 8), None)
    only = SwiftModel(options.out / "Stable_Diffusion_version_tiny-sd1_unet.mlpackage")
    given = {name: np.random.default_rng(4).standard_normal(shape, np.float32) for name, shape in only.inputs.items()}
    wanted = swift_noise([only], given)
    # The cut separates operations that the executor may fuse in the whole.
    assert np.abs(swift_noise(halves, given) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_the_halves_together_are_the_whole(whole: tuple[ConvertOptions, list[ProgressUpdate]]) -> None:
    options, _ = whole
    first, second = sorted(options.out.glob("*_chunk?.mlpackage"))
    generator = np.random.default_rng(3)
    model = MLProgram(next(path for path in options.out.glob("*.mlpackage") if "chunk" not in path.name))
    given = {each.name: generator.standard_normal(each.shape, dtype=np.float32) for each in model.inputs}
    given["timestep"][:] = (900, 20)
    one, two = MLProgram(first), MLProgram(second)
    passed = one.predict({each.name: given[each.name] for each in one.inputs})
    both = {**given, **passed}
    found = two.predict({each.name: both[each.name] for each in two.inputs})["noise_pred"]
    wanted = model.predict(given)["noise_pred"]
    # The cut separates operations that the executor may fuse in the whole.
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_what_is_there_is_kept_and_cut_without_its_source(whole: tuple[ConvertOptions, list[ProgressUpdate]], tmp_path: Path) -> None:
    """`--chunk-unet` alone: the source model need not exist any more."""
    options, _ = whole
    assert [outcome.status for outcome in convert(replace(options, bundle=False)).outcomes] == ["kept"]
    alone = replace(options, model="/nowhere/tiny-sd1", parts=(), bundle=False)
    assert [outcome.status for outcome in convert(alone).outcomes] == ["kept"]
    for half in options.out.glob("*_chunk2.mlpackage"):
        half.rename(tmp_path / half.name)
    (outcome,) = convert(alone).outcomes
    assert outcome.status == "chunked"
    assert len(list(options.out.glob("*_chunk?.mlpackage"))) == 2
    (outcome,) = convert(replace(alone, merge_chunks=True)).outcomes
    assert [path.name for path in outcome.packages[1:]] == ["Stable_Diffusion_version_tiny-sd1_unet_chunked_pipeline.mlpackage"]
    assert outcome.verifications[0][1].passed


def test_a_network_that_is_not_its_source_is_not_left_behind(
    model_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a converter that loses a layer, the comparison fails, and no file gets the name."""
    from converter.parts import text_encoder

    plain = text_encoder._TextEncoder.forward
    monkeypatch.setattr(text_encoder._TextEncoder, "forward", lambda self, ids: tuple(1.1 * x for x in plain(self, ids)))
    real = text_encoder.build

    def honest(*arguments: object) -> object:
        """Restore the real method before the reference, which is built last."""
        if list(tmp_path.rglob("*.mlpackage")):
            monkeypatch.setattr(text_encoder._TextEncoder, "forward", plain)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(text_encoder, "build", honest)
    with pytest.raises(ConversionError, match=r"must reach 35 dB against its source, got \d+\.\d dB"):
        convert(ConvertOptions(model=str(model_folder("sd1")), out=tmp_path, parts=("text_encoder",)))
    assert list(tmp_path.iterdir()) == []
