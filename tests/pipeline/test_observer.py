"""What an observer hears of a run: every network call with all its inputs, every step, and nothing that changes the picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.pipeline.observer import Beginning, CompletedStep
from sdrt.pipeline.results import Result
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend


@dataclass
class Listener:
    """Keep what is heard, in order."""

    beginnings: list[Beginning] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Array], Mapping[str, Array]]] = field(default_factory=list)
    steps: list[CompletedStep] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def begins(self, beginning: Beginning) -> None:
        self.beginnings.append(beginning)
        self.order.append("begins")

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        self.calls.append((component, inputs, outputs))
        self.order.append(component)

    def stepped(self, step: CompletedStep) -> None:
        self.steps.append(step)
        self.order.append("stepped")

    def ends(self, result: Result) -> None:
        self.results.append(result)
        self.order.append("ends")

    def fails(self, error: BaseException) -> None:
        self.order.append(f"fails: {error}")


OPTIONS = {"seed": 5, "num_inference_steps": 3, "scheduler": "euler a"}


def test_a_run_is_heard_whole_and_in_order() -> None:
    """The network calls of a step come before it, and the picture is the one that nobody watches."""
    pipe, listener = sdrt.load("nano"), Listener()
    plain = pipe.generate("a red circle", **OPTIONS)  # type: ignore[arg-type]
    with pipe.observing(lambda: listener):
        seen = pipe.generate("a red circle", **OPTIONS)  # type: ignore[arg-type]
    assert listener.order == ["begins", "text_encoder", *["unet", "stepped"] * 3, "vae_decoder", "ends"]
    assert listener.results == [seen]
    assert np.array_equal(seen.latents, plain.latents)
    assert np.array_equal(listener.steps[-1].after.x, plain.latents)
    # bound inputs too
    assert set(listener.calls[1][1]) == {"sample", "timestep", "encoder_hidden_states"}
    again = listener.steps[1]
    plan, sampler = listener.beginnings[0].plan, listener.beginnings[0].sampler
    assert sampler.step(plan, again.before, again.guided.output, again.noise) == again.stepped
    listener.order.clear()
    pipe.generate("a red circle", **OPTIONS)  # type: ignore[arg-type]
    assert listener.order == []


def test_each_call_has_an_observer_of_its_own() -> None:
    """Two calls that take turns are heard apart."""
    pipe, listeners = sdrt.load("nano"), list[Listener]()

    def make() -> Listener:
        listeners.append(Listener())
        return listeners[-1]

    with pipe.observing(make):
        first = pipe.steps("a red circle", seed=1, num_inference_steps=2)
        second = pipe.steps("a blue square", seed=2, num_inference_steps=2)
        for _ in zip(first, second, strict=True):
            pass
    assert [each.beginnings[0].settings.prompt for each in listeners] == ["a red circle", "a blue square"]
    assert [len(each.steps) for each in listeners] == [2, 2]


def test_refiners_and_controlnets_are_told_apart(tmp_path: Path) -> None:
    """A network's name says whose it is."""
    for form in ("sdxl", "sdxl-refiner"):
        save_pipeline_folder(tmp_path / form, form)
    listener = Listener()
    with sdrt.load(tmp_path / "sdxl", refiner=tmp_path / "sdxl-refiner") as pipe, pipe.observing(lambda: listener):
        pipe.generate("a", seed=1, num_inference_steps=4, refiner_start=0.5, height=64, width=64)
    assert {name for name, *_ in listener.calls} >= {"unet", "refiner.unet", "text_encoder", "refiner.text_encoder_2", "vae_decoder"}
    listener = Listener()
    picture = np.zeros((64, 64, 3), np.uint8)
    with sdrt.load("nano", controlnet=["nano-edges", "nano-edges"]) as pipe, pipe.observing(lambda: listener):
        pipe.generate("a", seed=1, num_inference_steps=1, control_image=[picture, picture])
    assert {name for name, *_ in listener.calls} >= {"controlnet.0", "controlnet.1"}


def test_one_context_at_a_time() -> None:
    """A second observer is refused, and the first one's context ends with it."""
    pipe = sdrt.load("nano")
    with pipe.observing(Listener), pytest.raises(ConfigError, match="leave the context of the first"), pipe.observing(Listener):
        pass
    with pytest.raises(ConfigError, match="make_observer must be a function, got 5"), pipe.observing(5):  # type: ignore[arg-type]
        pass
    with pipe.observing(Listener):
        pass


def _same(listener: Listener) -> Listener:
    return listener


def test_the_error_that_ends_a_run_is_heard() -> None:
    def broken(**inputs: Array) -> dict[str, Array]:
        raise ConfigError("no sun today")

    for backend, before in (
        (FakeBackend({"unet": broken}), ["begins", "text_encoder"]),
        (FakeBackend({"vae_decoder": broken}), ["begins", "text_encoder", "unet", "stepped"]),
    ):
        pipe, listener = sdrt.load("nano", backend=backend), Listener()
        with pipe.observing(partial(_same, listener)), pytest.raises(ConfigError, match="no sun"):
            pipe.generate("a red circle", seed=1, num_inference_steps=1)
        assert listener.order == [*before, "fails: no sun today"]
