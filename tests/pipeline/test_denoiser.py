"""How a batch is laid out for the networks: by the rows of the guidance, and by nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array, Signature, TensorSpec
from sdrt.backends.pool import CheckedNetwork
from sdrt.guidance import Call, Row
from sdrt.pipeline.conditions.control import Control, ControlSettings
from sdrt.pipeline.conditions.control_weights import BALANCED, GUESS, control_weights
from sdrt.pipeline.denoiser import Conditions, Denoiser
from tests.factories import normal

CALL = Call(1, 4, 750.0)
VALUES: dict[Row, float] = {"negative": -1.0, "prompt": 2.0}
TEXTS: Mapping[Row, Mapping[str, Array]] = {
    row: {"encoder_hidden_states": np.full((1, 7, 5), value, np.float32)} for row, value in VALUES.items()
}


class Watched:
    """A network that notes what it is given, and answers with the mean of its text and the number of its call."""

    def __init__(self, signature: Signature, outputs: tuple[str, ...], notes: list[dict[str, Array]], **bound: Array) -> None:
        self.signature, self.outputs, self.notes, self.bound = signature, outputs, notes, bound

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        every = self.bound | inputs
        self.notes.append(every)
        text = every["encoder_hidden_states"].mean(axis=(1, 2))[:, None, None, None]
        prediction = (inputs["sample"][:, :4] * 0 + text).astype(np.float32)
        return dict.fromkeys(self.outputs, prediction)

    def bind(self, **constants: Array) -> "Watched":
        return Watched(self.signature, self.outputs, self.notes, **self.bound, **constants)

    def close(self) -> None:
        """Nothing is held."""


def spec(name: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name, "float32", shape)


COMMON = (spec("sample", None, None, 6, 4), spec("timestep", None), spec("encoder_hidden_states", None, 7, 5))


def unet(*more: TensorSpec) -> tuple[CheckedNetwork, list[dict[str, Array]]]:
    notes: list[dict[str, Array]] = []
    signature = Signature((*COMMON, *more), (spec("noise_pred", None, 4, 6, 4),), optional=(spec("additional_residual_0", None, 4, 6, 4),))
    return CheckedNetwork("unet", Watched(signature, ("noise_pred",), notes)), notes


def controlnet() -> tuple[CheckedNetwork, list[dict[str, Array]]]:
    notes: list[dict[str, Array]] = []
    signature = Signature((*COMMON, spec("controlnet_cond", None, 3, 48, 32)), (spec("additional_residual_0", None, 4, 6, 4),))
    return CheckedNetwork("controlnet", Watched(signature, ("additional_residual_0",), notes)), notes


def ask(network: CheckedNetwork, conditions: Conditions, rows: tuple[Row, ...], sequential: bool = False, **more: Any) -> Array:
    denoiser = Denoiser(dict.fromkeys(rows, network), more.get("controlnets", ()), conditions, rows, 3, sequential=sequential)
    return denoiser(normal(0, 3, 4, 6, 4), more.get("call", CALL))


@pytest.mark.parametrize("rows", [("negative", "prompt"), ("prompt", "negative"), ("prompt",)])
@pytest.mark.parametrize("sequential", [False, True])
def test_the_batch_holds_the_rows_of_the_guidance_in_its_order(rows: tuple[Row, ...], sequential: bool) -> None:
    network, notes = unet()
    predictions = ask(network, Conditions([TEXTS]), rows, sequential)
    expected = [VALUES[row] for row in rows for _ in range(3)]
    assert predictions.mean(axis=(1, 2, 3)).tolist() == expected
    assert [len(note["sample"]) for note in notes] == ([1] * len(expected) if sequential else [len(expected)])
    samples = np.concatenate([note["sample"] for note in notes])
    np.testing.assert_array_equal(samples, np.concatenate([normal(0, 3, 4, 6, 4)] * len(rows)))
    assert {value for note in notes for value in note["timestep"].tolist()} == {750.0}


def test_what_the_unet_alone_is_told_is_one_row_for_all() -> None:
    network, notes = unet(spec("timestep_cond", None, 2))
    ask(network, Conditions([TEXTS], {"timestep_cond": np.array([[1.0, 2.0]])}), ("negative", "prompt"))
    np.testing.assert_array_equal(notes[0]["timestep_cond"], np.tile(np.array([1, 2], np.float32), (6, 1)))


def test_channels_stand_behind_each_images_sample() -> None:
    network, notes = unet()
    channels = normal(1, 3, 5, 6, 4)
    ask(network, Conditions([TEXTS], channels=channels), ("negative", "prompt"))
    np.testing.assert_array_equal(notes[0]["sample"][:, 4:], np.concatenate([channels, channels]))


@pytest.mark.parametrize("sequential", [False, True])
def test_controlnets_see_the_plain_sample_and_add_up_with_their_scales(sequential: bool) -> None:
    network, notes = unet()
    nets = [controlnet() for _ in range(2)]
    picture = normal(2, 1, 3, 48, 32)
    controls = [Control(picture, ControlSettings(conditioning_scale=scale)) for scale in (0.5, 2.0)]
    conditions = Conditions([TEXTS], channels=normal(1, 3, 5, 6, 4), controls=controls)
    ask(network, conditions, ("negative", "prompt"), sequential, controlnets=[net for net, _ in nets])
    for _, seen in nets:
        for note in seen:
            assert note["sample"].shape[1] == 4
            np.testing.assert_array_equal(note["controlnet_cond"], np.repeat(picture, len(note["sample"]), axis=0))
    residual = np.concatenate([note["additional_residual_0"] for note in notes])
    assert residual.mean(axis=(1, 2, 3)).tolist() == [-2.5] * 3 + [5.0] * 3


@pytest.mark.parametrize(("start", "end", "acts"), [(0.0, 1.0, True), (0.25, 0.5, True), (0.3, 1.0, False), (0.0, 0.4, False)])
def test_a_controlnet_acts_within_its_share_of_the_run(start: float, end: float, acts: bool) -> None:
    network, notes = unet()
    net, seen = controlnet()
    control = Control(normal(2, 1, 3, 48, 32), ControlSettings(guidance_start=start, guidance_end=end))
    ask(network, Conditions([TEXTS], controls=[control]), ("prompt",), controlnets=[net])
    assert bool(seen) is acts
    assert ("additional_residual_0" in notes[0]) is acts


@pytest.mark.parametrize("sequential", [False, True])
def test_each_image_has_texts_of_its_own_whatever_their_lengths(sequential: bool) -> None:
    """Six samples of two lengths: each prediction comes back at its own place."""
    notes: list[dict[str, Array]] = []
    signature = Signature((*COMMON[:2], spec("encoder_hidden_states", None, None, 5)), (spec("noise_pred", None, 4, 6, 4),))
    network = CheckedNetwork("unet", Watched(signature, ("noise_pred",), notes))
    lengths = {"negative": (7, 7, 14), "prompt": (14, 7, 7)}
    texts: list[Mapping[Row, Mapping[str, Array]]] = [
        {row: {"encoder_hidden_states": np.full((1, lengths[row][k], 5), VALUES[row] + 10 * k, np.float32)} for row in VALUES}
        for k in range(3)
    ]
    rows: tuple[Row, ...] = ("negative", "prompt")
    predictions = ask(network, Conditions(texts), rows, sequential)
    assert predictions.mean(axis=(1, 2, 3)).tolist() == [VALUES[row] + 10 * k for row in rows for k in range(3)]
    assert [len(note["sample"]) for note in notes] == ([1] * 6 if sequential else [4, 2])
    seen = np.concatenate([note["sample"] for note in notes])
    samples = np.concatenate([normal(0, 3, 4, 6, 4)] * 2)
    np.testing.assert_array_equal(seen, samples[[0, 1, 4, 5, 2, 3]])


@pytest.mark.parametrize("rows", [("negative", "prompt"), ("prompt", "negative"), ("prompt",)])
@pytest.mark.parametrize("sequential", [False, True])
def test_a_controlnet_that_heeds_the_prompt_sees_its_rows_alone(rows: tuple[Row, ...], sequential: bool) -> None:
    """Beside one that acts on all rows: residuals of both add up there, and the other rows get those of one."""
    network, notes = unet()
    both, alone = controlnet(), controlnet()
    both_weights = (BALANCED, control_weights("control", guess=False, pools=False))
    controls = [Control(normal(2, 1, 3, 48, 32), ControlSettings(weights=weights)) for weights in both_weights]
    ask(network, Conditions([TEXTS], controls=controls), rows, sequential, controlnets=[both[0], alone[0]])
    assert sum(len(note["sample"]) for note in both[1]) == 3 * len(rows)
    assert sum(len(note["sample"]) for note in alone[1]) == 3
    assert {value for note in alone[1] for value in note["encoder_hidden_states"].ravel().tolist()} == {VALUES["prompt"]}
    residual = np.concatenate([note["additional_residual_0"] for note in notes]).mean(axis=(1, 2, 3))
    assert residual.tolist() == [VALUES[row] * (2 if row == "prompt" else 1) for row in rows for _ in range(3)]


def test_a_row_that_no_controlnet_acts_on_goes_without_residuals_if_it_goes_alone() -> None:
    network, notes = unet()
    net, _ = controlnet()
    control = Control(normal(2, 1, 3, 48, 32), ControlSettings(weights=GUESS))
    ask(network, Conditions([TEXTS], controls=[control]), ("negative", "prompt"), sequential=True, controlnets=[net])
    assert ["additional_residual_0" in note for note in notes] == [False] * 3 + [True] * 3


class Numbered:
    """An addition that tells each sample's row and image, and the call."""

    def fixed(self, samples: Sequence[tuple[Row, int]], dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        return {"own": np.array([[ROWS.index(row), image] for row, image in samples], dtype)}

    def varying(self, samples: Sequence[tuple[Row, int]], call: Call, dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        return {"now": np.full((len(samples), 1), call.index, dtype)}


ROWS: tuple[Row, ...] = ("negative", "prompt", "perturbed")


@pytest.mark.parametrize("sequential", [False, True])
def test_additions_follow_their_samples(sequential: bool) -> None:
    network, notes = unet(spec("own", None, 2), spec("now", None, 1))
    ask(network, Conditions([TEXTS], additions=[Numbered()]), ROWS, sequential)
    own = np.concatenate([note["own"] for note in notes])
    assert own.tolist() == [[row, image] for row in range(3) for image in range(3)]
    assert {value for note in notes for value in note["now"][:, 0].tolist()} == {1.0}


def test_rows_go_through_the_network_that_is_theirs() -> None:
    plain, notes = unet()
    other, others = unet()
    unets = {"negative": plain, "perturbed": other, "prompt": plain}
    denoiser = Denoiser(unets, (), Conditions([TEXTS]), ("negative", "perturbed", "prompt"), 2, sequential=False)
    predictions = denoiser(normal(0, 2, 4, 6, 4), CALL)
    assert ([len(note["sample"]) for note in notes], [len(note["sample"]) for note in others]) == ([4], [2])
    assert predictions.mean(axis=(1, 2, 3)).tolist() == [-1.0, -1.0, 2.0, 2.0, 2.0, 2.0]
