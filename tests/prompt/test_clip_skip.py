"""Clip skip, counted as in diffusers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdrt
from sdrt.arrays import Numerics
from sdrt.backends import BackendOptions, ComponentOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.errors import ConfigError
from sdrt.models import open_model
from sdrt.records.png_metadata import parameters_text
from tests.factories import Form
from tests.fake_backend import FakeBackend
from tests.pictures import psnr
from tests.prompt.peers import draw, open_peer, skipped

QUICK: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0}
PROMPT, NEGATIVE = "a red circle", "blue"


@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize("clip_skip", [0, 1, 2])
def test_a_picture_equals_diffusers(models: dict[Form, Path], form: Form, clip_skip: int) -> None:
    """Version 0.42.1 skips layers only for the prompt, so the negative prompt is passed as its own states."""
    pipe, peer = sdrt.load(models[form]), open_peer(models[form])
    negative = skipped(peer, NEGATIVE, clip_skip)
    want = draw(peer, PROMPT, None, 93, clip_skip=clip_skip, negative_prompt_embeds=negative, **QUICK)
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=93, clip_skip=clip_skip, **QUICK).images
    assert psnr(got, want) >= 60
    others = [pipe.generate(PROMPT, NEGATIVE, seed=93, clip_skip=k, **QUICK).images[0] for k in range(3) if k != clip_skip]
    assert all(psnr(got, other) < 40 for other in others)


@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize(("numerics", "bound"), [("float32", 1e-4), ("float64", 1e-9)])
def test_every_output_equals_transformers(models: dict[Form, Path], form: Form, numerics: Numerics, bound: float) -> None:
    """Both states count from the layer that is kept; the pooled one is of the last layer whatever is skipped, as SDXL has it."""
    encoder = open_peer(models[form]).text_encoder.to(getattr(torch, numerics))
    ids = np.random.default_rng(1).integers(0, 500, (2, 9)).astype(np.int32)
    with torch.no_grad():
        peer = encoder(torch.from_numpy(ids).long(), output_hidden_states=True)
        for clip_skip in range(encoder.config.num_hidden_layers):
            options = BackendOptions(numerics=numerics), ComponentOptions(clip_skip=clip_skip)
            found = NumpyBackend().open("text_encoder", open_model(models[form]), *options)(input_ids=ids)
            want = {
                "last_hidden_state": encoder.text_model.final_layer_norm(peer.hidden_states[-(clip_skip + 1)]),
                "penultimate_hidden_state": peer.hidden_states[-(clip_skip + 2)],
                "pooled": peer.pooler_output,
            }
            for name, value in want.items():
                np.testing.assert_allclose(found[name], value.numpy(), rtol=0, atol=bound * float(value.abs().max()), err_msg=name)


def test_the_negative_prompt_skips_too(models: dict[Form, Path], pipe: sdrt.Pipeline) -> None:
    """A departure: diffusers 0.42.1 guides away from the states of a different layer."""
    peer = open_peer(models["sd1"])
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=93, clip_skip=1, **QUICK).images
    assert psnr(got, draw(peer, PROMPT, NEGATIVE, 93, clip_skip=1, **QUICK)) < 40
    alone = QUICK | {"guidance_scale": 1.0}
    [got] = pipe.generate(PROMPT, seed=93, clip_skip=1, **alone).images
    assert psnr(got, draw(peer, PROMPT, "", 93, clip_skip=1, **alone)) >= 60


def test_none_and_zero_are_the_last_layer(pipe: sdrt.Pipeline) -> None:
    plain, none, zero = (pipe.generate(PROMPT, seed=1, **QUICK, **more) for more in ({}, {"clip_skip": None}, {"clip_skip": 0}))
    assert plain.latents.tobytes() == none.latents.tobytes() == zero.latents.tobytes()
    assert none.settings.clip_skip == 0


@pytest.mark.parametrize(
    ("clip_skip", "message"),
    [
        (3, r"clip_skip must be below 3, the layers of this model's text_encoder, got 3"),
        (-1, r"clip_skip must be a whole number of at least 0, got -1"),
        (1.0, r"clip_skip must be a whole number of at least 0, got 1\.0"),
    ],
)
def test_a_number_of_layers_that_there_is_not_is_refused(pipe: sdrt.Pipeline, clip_skip: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipe.generate(PROMPT, clip_skip=clip_skip, **QUICK)


def test_a_backend_is_asked_once_for_each_clip_skip(models: dict[Form, Path]) -> None:
    backend = FakeBackend()
    pipe = sdrt.load(models["sd1"], backend)
    for clip_skip in (0, 1, 1, 2, 0):
        pipe.generate(PROMPT, seed=1, clip_skip=clip_skip, **QUICK)
    assert sorted(options.clip_skip for options in backend.asked_options) == [0, 0, 0, 1, 2]
    pipe.close()
    assert all(network.closed for network in backend.opened)


def test_it_is_written_as_automatic1111_counts(pipe: sdrt.Pipeline) -> None:
    settings = pipe.generate(PROMPT, seed=1, clip_skip=1, **QUICK).settings
    assert settings.to_dict()["clip_skip"] == 1
    assert "RNG: torch, Clip skip: 2, " in parameters_text(settings, 1)
    assert "Clip skip" not in parameters_text(pipe.generate(PROMPT, seed=1, **QUICK).settings, 1)
