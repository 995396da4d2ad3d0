"""A recording of diffusers agrees with one of sdrt of the same model and seed, event by event."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sdrt
from sdrt.compare import Recording, record, record_diffusers, replay
from sdrt.errors import ConfigError, RecordingError
from sdrt.recordings import Event
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, picture, scheduler

QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0}
SIZE: dict[str, Any] = {"height": 64, "width": 48}
# float32 rounding, which three steps of random networks enlarge: the same run on two backends of sdrt is as far apart
BOUND = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")

    @cache
    def make(form: Any) -> Path:
        if form == "controlnet":
            return save_controlnet_folder(root / form, "sd1", 0)
        own: Form = form
        return save_pipeline_folder(root / form, own, safety_checker=form == "sd1")

    return make


# By name: the pipeline's class, the model, diffusers' arguments, and sdrt's where they are others.
CASES: dict[str, tuple[str, Form, dict[str, Any], dict[str, Any]]] = {
    "text": ("StableDiffusionPipeline", "sd1", SIZE, {}),
    "ancestral": ("StableDiffusionPipeline", "sd1", SIZE | {"scheduler": "euler a"}, {}),
    "two images": ("StableDiffusionPipeline", "sd1", SIZE | {"num_images_per_prompt": 2}, {"num_images": 2}),
    "sdxl": ("StableDiffusionXLPipeline", "sdxl", SIZE | {"scheduler": "heun"}, {}),
    "picture": ("StableDiffusionImg2ImgPipeline", "sd1", {"image": picture(1), "strength": 0.7}, {}),
    "mask": ("StableDiffusionInpaintPipeline", "inpaint", SIZE | {"image": picture(1), "mask_image": mask(), "strength": 1.0}, {}),
    "kept": ("StableDiffusionInpaintPipeline", "sd1", SIZE | {"image": picture(1), "mask_image": mask(), "strength": 0.8}, {}),
    "controlnet": (
        "StableDiffusionControlNetPipeline",
        "sd1",
        SIZE | {"image": picture(1), "controlnet_conditioning_scale": 0.7},
        {"control_image": picture(1)},
    ),
    "lcm": ("LatentConsistencyModelPipeline", "lcm", SIZE | {"scheduler": "lcm"}, {}),
}


Both = Callable[[str], tuple[Recording, Recording]]


@pytest.fixture(scope="module")
def both(folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same run of diffusers and of sdrt by the name of its case, made when first asked for."""
    return cache(lambda name: record_both(folder, tmp_path_factory.mktemp("runs"), name))


def record_both(folder: Callable[[str], Path], tmp_path: Path, name: str) -> tuple[Recording, Recording]:
    """Record the same run of diffusers and of sdrt, on the same networks of torch."""
    kind, form, given, own = CASES[name]
    controlnet = folder("controlnet") if name == "controlnet" else None
    parts = {"controlnet": diffusers.ControlNetModel.from_pretrained(controlnet)} if controlnet else {}
    peer = open_peer(kind, folder(form), safety_checker=None, **parts) if form == "sd1" else open_peer(kind, folder(form), **parts)
    options = QUICK | given
    config = scheduler(options.pop("scheduler")) if "scheduler" in options else None
    negative = {} if name == "lcm" else {"negative_prompt": NEGATIVE}
    with warnings.catch_warnings(), record_diffusers(peer, tmp_path / "theirs.sdrt"):
        warnings.simplefilter("ignore")
        if config is not None:
            peer.scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
        peer(PROMPT, generator=torch.Generator().manual_seed(93), **options, **negative)

    pipe = sdrt.load(folder(form), backend="torch", controlnet=[controlnet] if controlnet else ())
    ours = {key: value for key, value in options.items() if key not in ("num_images_per_prompt", *(["image"] if controlnet else []))} | own
    # diffusers draws all images from its one generator
    noise = {"rng": sdrt.rng.stream("torch", 93)} if "num_images" in own else {"seed": 93}
    with record(tmp_path / "ours.sdrt", pipe):
        pipe.generate(PROMPT, "" if name == "lcm" else NEGATIVE, compat="diffusers", scheduler=config, **ours, **noise)
    return Recording.open(tmp_path / "theirs.sdrt"), Recording.open(tmp_path / "ours.sdrt")


def apart(theirs: Recording, ours: Recording, a: Event, b: Event) -> dict[str, float]:
    """How far the arrays are apart that both events have, as a share of their size."""
    x, y = theirs.arrays(a), ours.arrays(b)
    shared = sorted(x.keys() & y.keys())
    assert [(name, x[name].shape, x[name].dtype) for name in shared] == [(name, y[name].shape, y[name].dtype) for name in shared]
    return {name: float(np.abs(x[name].astype(np.float64) - y[name]).max() / max(1, np.abs(y[name]).max())) for name in shared}


@pytest.mark.parametrize("name", CASES)
def test_both_recordings_agree(both: Both, name: str) -> None:
    theirs, ours = both(name)
    for recording in (theirs, ours):
        recording.verify()
    needed = {"unet": {"input.sample", "input.timestep", "input.encoder_hidden_states", "output.noise_pred"}}
    needed["controlnet.0"] = {"input.sample", "input.controlnet_cond", "output.additional_residual_0", "output.additional_residual_12"}
    needed["vae_encoder"], needed["vae_decoder"] = {"input.x", "output.moments"}, {"input.z", "output.image"}
    for component in ("unet", "vae_decoder", "vae_encoder", "controlnet.0"):
        calls = theirs.events(kind="network", component=component), ours.events(kind="network", component=component)
        if component == "vae_decoder" and name == "two images":
            # diffusers decodes both at once
            continue
        if (component, name) == ("vae_encoder", "kept"):
            # diffusers encodes the masked picture too, for a U-Net that does not take it
            calls = calls[0][:1], calls[1]
        assert [event.step for event in calls[0]] == [event.step for event in calls[1]]
        for a, b in zip(*calls, strict=True):
            distances = apart(theirs, ours, a, b)
            assert needed[component] <= distances.keys()
            assert set(a.arrays) == set(b.arrays)
            assert max(distances.values()) < BOUND, (a.place, distances)
    steps = theirs.events(kind="step"), ours.events(kind="step")
    assert len(steps[0]) > 0
    for a, b in zip(*steps, strict=True):
        distances = apart(theirs, ours, a, b)
        # what diffusers puts back after its scheduler's step is not seen
        assert {"before.x", "stepped.x", "output", *(["after.x"] if name != "kept" else [])} <= distances.keys()
        assert ("noise" in a.arrays) == ("noise" in b.arrays)
        assert distances.get("noise", 0) == 0
        assert max(distances.values()) < BOUND, (a.place, distances)
        assert a.values["timestep"] == b.values["timestep"]
    begin = ours.arrays(ours.beginning())
    drawn = {name: x for event in theirs.events(kind="noise") for name, x in theirs.arrays(event).items()}
    assert drawn.keys() == begin.keys() & {"noise", "source", "masked"}
    assert all(np.array_equal(x, begin[each]) for each, x in drawn.items())
    assert theirs.outcome() == "finished"


@pytest.mark.parametrize("name", ["text", "sdxl"])
def test_text_encoders_agree(both: Both, name: str) -> None:
    """diffusers calls them for each prompt, and sdrt once for both."""
    theirs, ours = both(name)
    for component in ("text_encoder", "text_encoder_2") if name == "sdxl" else ("text_encoder",):
        (once,) = ours.events(kind="network", component=component)
        every = theirs.events(kind="network", component=component)
        assert len(every) == 2
        rows = ours.arrays(once)
        for event in every:
            arrays = theirs.arrays(event)
            (row,) = [k for k, ids in enumerate(rows["input.input_ids"]) if np.array_equal(ids, arrays["input.input_ids"][0])]
            assert {"output.last_hidden_state", "output.pooled"} <= arrays.keys()
            for output in arrays.keys() - {"input.input_ids"}:
                assert np.abs(arrays[output][0] - rows[output][row]).max() < 1e-4


@pytest.mark.parametrize("name", ["text", "two images", "picture", "mask", "kept", "controlnet"])
def test_a_recording_of_diffusers_replays_on_sdrt(both: Both, folder: Callable[[str], Path], name: str) -> None:
    theirs, ours = both(name)
    settings = theirs.settings()
    assert set(settings.backend.values()) == {"diffusers"}
    controls: dict[str, Any] = {"controlnet": folder("controlnet")} if name == "controlnet" else {}
    again = replay(theirs, folder(CASES[name][1]), "torch", **controls)
    assert again.distance.psnr is not None
    assert min(again.distance.psnr) > 60
    (end,) = ours.events(kind="end")
    assert np.array_equal(again.result.latents, ours.arrays(end)["latents"])


def test_its_networks_play(both: Both, folder: Callable[[str], Path]) -> None:
    """Its U-Net answers sdrt's loop within the rounding of two programs' schedulers; the text encoder wants diffusers' calls."""
    theirs, _ = both("text")
    networks = {"unet": theirs.backend(tolerance=1e-2), "vae_decoder": theirs.backend(tolerance=1e-2)}
    pipe = sdrt.load(folder("sd1"), backend=networks)
    result = pipe.generate(PROMPT, NEGATIVE, seed=93, compat="diffusers", **QUICK, **SIZE)
    (end,) = theirs.events(kind="end")
    assert np.abs(np.asarray(result.images[0]).astype(int) - theirs.arrays(end)["picture.0"]).max() <= 1
    with pytest.raises(
        RecordingError, match=r"text_encoder: a call must have the shapes of one that is recorded, got input_ids int32\[2,77\]"
    ):
        sdrt.load(theirs).generate(PROMPT, NEGATIVE, seed=93, compat="diffusers", **QUICK, **SIZE)


def test_the_pipeline_is_as_it_was(folder: Callable[[str], Path], tmp_path: Path) -> None:
    peer = open_peer("StableDiffusionPipeline", folder("sd1"), safety_checker=None)
    module = diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion
    own, draw = type(peer), module.randn_tensor
    options = SIZE | {"num_inference_steps": 1, "output_type": "np"}
    plain = peer(PROMPT, generator=torch.Generator().manual_seed(1), **options).images
    with record_diffusers(peer, tmp_path / "run.sdrt", keep="outputs"):
        assert np.array_equal(peer(PROMPT, generator=torch.Generator().manual_seed(1), **options).images, plain)
        with pytest.raises(TypeError):
            peer(PROMPT, callback_on_step_end=lambda *_: 1 / "no", **options)  # type: ignore[operator]
    assert type(peer) is own
    assert module.randn_tensor is draw
    for part in (peer.scheduler, peer.vae, peer.unet):
        assert not {"step", "decode", "encode", "forward"} & vars(part).keys()
        assert not getattr(part, "_forward_hooks", {})
    recording = Recording.open(tmp_path / "run.sdrt")
    assert [recording.outcome(run) for run in recording.runs] == ["finished", "failed"]
    assert recording.events(1, "end")[0].values["error"].startswith("TypeError: unsupported operand")


def test_a_call_that_sdrt_cannot_make_has_no_settings(folder: Callable[[str], Path], tmp_path: Path) -> None:
    peer = open_peer("StableDiffusionPipeline", folder("sd1"), safety_checker=None)
    used = torch.Generator().manual_seed(1)
    torch.randn(3, generator=used)
    options: dict[str, Any] = SIZE | {"num_inference_steps": 1}
    with record_diffusers(peer, tmp_path / "run.sdrt", keep="hashes"):
        peer(PROMPT, generator=used, **options)
        peer(PROMPT, generator=torch.Generator().manual_seed(1), latents=torch.zeros(1, 4, 8, 6), **options)
    recording = Recording.open(tmp_path / "run.sdrt")
    reasons = [recording.beginning(run).values["without_settings"] for run in recording.runs]
    assert "a generator must be on the CPU and fresh" in reasons[0]
    assert "a call must have arguments that sdrt has, got latents" in reasons[1]
    with pytest.raises(RecordingError, match="run 0 must have settings"):
        recording.settings()
    union = SimpleNamespace(unet=1, vae=1, scheduler=1, controlnet=SimpleNamespace(config=SimpleNamespace(num_control_type=6)))
    with pytest.raises(ConfigError, match="pipeline must have plain ControlNets, got a union"), record_diffusers(union, tmp_path / "x"):
        pass
    with pytest.raises(ConfigError, match="pipeline must be one of diffusers with unet, vae, scheduler, got 3"), record_diffusers(3, "x"):
        pass
