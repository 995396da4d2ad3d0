"""IP-Adapters against the pipelines of diffusers: whole pictures from the same seed, each of which the pictures have moved."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image

import sdrt
from sdrt.compare import compare, record
from sdrt.errors import ConfigError, ImageError, ModelError
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder
from tests.image_prompts import ENCODER, Kind, adapter_tensors, nested, random_encoder, save_adapter, save_encoder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 4.0, "height": 64, "width": 64}
ONE, TWO = picture(1), picture(2)
LEFT = mask(64, 64).transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # the other half


class Files:
    """Models, adapters and an image encoder, made when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.encoder = save_encoder(root / "encoder")

    @cache  # noqa: B019 one object for a module of tests
    def model(self, form: Form) -> Path:
        return save_pipeline_folder(self.root / form, form)

    @cache  # noqa: B019
    def tensors(self, form: Form, kind: Kind, seed: int = 0) -> dict[str, np.ndarray]:
        return adapter_tensors(UNet2DConditionModel.from_pretrained(self.model(form) / "unet"), kind, seed=seed)

    @cache  # noqa: B019
    def adapter(self, form: Form, kind: Kind, seed: int = 0) -> Path:
        return save_adapter(self.root / f"{form} {kind} {seed}.safetensors", self.tensors(form, kind, seed))

    @cache  # noqa: B019
    def load(self, form: Form, *kinds: Kind, **options: Any) -> sdrt.Pipeline:
        adapters = [self.adapter(form, kind, k) for k, kind in enumerate(kinds)]
        return sdrt.load(self.model(form), ip_adapter=adapters, image_encoder=self.encoder, threads=1, **options)

    def peer(self, form: Form, *kinds: Kind, scale: Any = 1.0, job: str = "", **parts: Any) -> Any:
        """diffusers' pipeline with these adapters, in place of those that it had."""
        peer = self._peer(form, job, **parts)
        if peer.image_encoder is not None:
            peer.unload_ip_adapter()
        peer.register_modules(image_encoder=random_encoder())
        states = [nested(self.tensors(form, kind, k)) for k, kind in enumerate(kinds)]
        names = [""] * len(states)
        peer.load_ip_adapter(states, subfolder=names, weight_name=names, low_cpu_mem_usage=False)
        peer.set_ip_adapter_scale(scale)
        return peer

    @cache  # noqa: B019
    def _peer(self, form: Form, job: str, **parts: Any) -> Any:
        family = "StableDiffusionXL" if form == "sdxl" else "StableDiffusion"
        return open_peer(f"{family}{job}Pipeline", self.model(form), **parts, **({"safety_checker": None} if form != "sdxl" else {}))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("image prompts"))


@pytest.fixture(params=["numpy", "torch"])
def load(request: pytest.FixtureRequest, files: Files) -> Any:
    return partial(files.load, backend=request.param)


# torch's own part in these is tested with the networks
mostly_numpy = pytest.mark.parametrize("load", ["numpy", pytest.param("torch", marks=pytest.mark.slow)], indirect=True)


def drawn(pipe: sdrt.Pipeline, **settings: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, **({"seed": 93} | QUICK | settings)).images
    return np.asarray(image)


def same(got: np.ndarray, want: np.ndarray, *others: np.ndarray) -> None:
    """The picture is the peer's, and far from others."""
    for other in others:
        assert psnr(want, other) < 40
    assert psnr(got, want) >= 60


# ---- the same pictures


@pytest.mark.parametrize(
    ("form", "kind", "backend"),
    [
        ("sd1", "plain", "numpy"),
        ("sd1", "plain", "torch"),
        ("sd1", "plus", "numpy"),
        ("sd1", "full", "numpy"),
        ("sdxl", "plain", "numpy"),
        # the projections and the U-Nets of these are compared as networks
        pytest.param("sdxl", "plus", "numpy", marks=pytest.mark.slow),
        pytest.param("sd1", "plus", "torch", marks=pytest.mark.slow),
        pytest.param("sd1", "full", "torch", marks=pytest.mark.slow),
        pytest.param("sdxl", "plain", "torch", marks=pytest.mark.slow),
        pytest.param("sdxl", "plus", "torch", marks=pytest.mark.slow),
    ],
)
def test_each_kind_equals_diffusers(files: Files, form: Form, kind: Kind, backend: str) -> None:
    want = peer_picture(files.peer(form, kind, scale=0.8), negative_prompt=NEGATIVE, ip_adapter_image=ONE, **QUICK)
    pipe = files.load(form, kind, backend=backend)
    without = drawn(pipe, ip_adapter_image=ONE, ip_adapter_scale=0.0)
    same(drawn(pipe, ip_adapter_image=ONE, ip_adapter_scale=0.8), want, without)


def test_scale_zero_draws_what_the_model_draws(files: Files) -> None:
    zero = drawn(files.load("sd1", "plain"), ip_adapter_image=ONE, ip_adapter_scale=0.0)
    assert np.array_equal(zero, drawn(sdrt.load(files.model("sd1"), threads=1)))


@mostly_numpy
def test_two_adapters_at_scales_of_their_own(files: Files, load: Any) -> None:
    peer = files.peer("sd1", "plain", "plus", scale=[0.4, 0.9])
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=[ONE, TWO], **QUICK)
    pipe = load("sd1", "plain", "plus")
    got = drawn(pipe, ip_adapter_image=[ONE, TWO], ip_adapter_scale=[0.4, 0.9])
    others = ([0.9, 0.4], [0.4, 0.0], [0.0, 0.9])
    same(got, want, *(drawn(pipe, ip_adapter_image=[ONE, TWO], ip_adapter_scale=scale) for scale in others))


@mostly_numpy
def test_two_pictures_are_seen_together(files: Files, load: Any) -> None:
    want = peer_picture(files.peer("sd1", "plus"), negative_prompt=NEGATIVE, ip_adapter_image=[[ONE, TWO]], **QUICK)
    pipe = load("sd1", "plus")
    same(drawn(pipe, ip_adapter_image=[ONE, TWO]), want, drawn(pipe, ip_adapter_image=ONE), drawn(pipe, ip_adapter_image=TWO))
    assert np.array_equal(drawn(pipe, ip_adapter_image=[[ONE, TWO]]), drawn(pipe, ip_adapter_image=[ONE, TWO]))


@mostly_numpy
def test_masks_say_where_each_picture_counts(files: Files, load: Any) -> None:
    masks = IPAdapterMaskProcessor().preprocess([LEFT, mask(64, 64)], height=64, width=64)
    given = {"ip_adapter_masks": [masks.reshape(1, 2, 64, 64)]}
    peer = files.peer("sd1", "plus", scale=[[0.9, 0.6]])
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=[[ONE, TWO]], cross_attention_kwargs=given, **QUICK)
    pipe = load("sd1", "plus")
    got = drawn(pipe, ip_adapter_image=[ONE, TWO], ip_adapter_scale=[[0.9, 0.6]], ip_adapter_mask=[LEFT, mask(64, 64)])
    same(
        got, want, drawn(pipe, ip_adapter_image=[ONE, TWO]), drawn(pipe, ip_adapter_image=[TWO, ONE], ip_adapter_mask=[LEFT, mask(64, 64)])
    )


@mostly_numpy
def test_a_mask_for_one_of_two_adapters(files: Files, load: Any) -> None:
    masks = IPAdapterMaskProcessor().preprocess([mask(64, 64)], height=64, width=64)
    peer = files.peer("sd1", "plain", "plain", scale=[0.7, 0.7])
    given = {"ip_adapter_masks": [None, masks.reshape(1, 1, 64, 64)]}
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=[ONE, TWO], cross_attention_kwargs=given, **QUICK)
    pipe = load("sd1", "plain", "plain")
    settings = {"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": 0.7}
    same(drawn(pipe, **settings, ip_adapter_mask=[None, mask(64, 64)]), want, drawn(pipe, **settings))


@pytest.mark.parametrize(
    "scale", [{"up": {"block_1": [0.0, 1.0, 0.5]}}, pytest.param({"down": 0.5, "mid": 0.7}, marks=pytest.mark.slow)], ids=["style", "parts"]
)
def test_scales_by_block_are_diffusers(files: Files, scale: dict[str, Any]) -> None:
    peer = files.peer("sd1", "plain", scale=scale)
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=ONE, **QUICK)
    pipe = files.load("sd1", "plain")
    same(drawn(pipe, ip_adapter_image=ONE, ip_adapter_scale=scale), want, drawn(pipe, ip_adapter_image=ONE))


def test_without_guidance(files: Files) -> None:
    settings = QUICK | {"guidance_scale": 1.0}
    want = peer_picture(files.peer("sd1", "plain"), ip_adapter_image=ONE, **settings)
    pipe = files.load("sd1", "plain")
    same(drawn(pipe, ip_adapter_image=ONE, guidance_scale=1.0), want, drawn(pipe, ip_adapter_image=TWO, guidance_scale=1.0))


@mostly_numpy
def test_embeddings_in_place_of_pictures(files: Files, load: Any) -> None:
    peer = files.peer("sd1", "plus")
    with torch.no_grad():
        embeds = peer.prepare_ip_adapter_image_embeds([ONE], None, "cpu", 1, True)
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image_embeds=embeds, **QUICK)
    pipe = load("sd1", "plus")
    got = drawn(pipe, ip_adapter_image_embeds=[each.numpy() for each in embeds])
    same(got, want, drawn(pipe, ip_adapter_image=TWO))
    assert psnr(got, drawn(pipe, ip_adapter_image=ONE)) >= 60


def test_a_controlnet_acts_beside_it(files: Files, tmp_path: Path) -> None:
    net, source = save_controlnet_folder(tmp_path / "controlnet"), picture(5, 64, 64)
    pipe = files.load("sd1", "plain", controlnet=net)
    peer = files.peer("sd1", "plain", job="ControlNet", controlnet=ControlNetModel.from_pretrained(net))
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=source, controlnet_conditioning_scale=0.3, ip_adapter_image=ONE, **QUICK)
    control = {"control_image": source, "controlnet_conditioning_scale": 0.3}
    same(drawn(pipe, **control, ip_adapter_image=ONE), want, drawn(pipe, **control, ip_adapter_image=TWO))


@pytest.mark.slow
@pytest.mark.parametrize("job", ["Img2Img", "Inpaint"])
def test_other_jobs_look_too(files: Files, job: str) -> None:
    pipe, source = files.load("sd1", "plain"), picture(5, 64, 64)
    changes: dict[str, Any] = {"image": source, "strength": 0.7}
    masked: dict[str, Any] = {} if job == "Img2Img" else {"mask_image": mask(64, 64)}
    theirs = (_sized(QUICK) if job == "Img2Img" else QUICK) | masked
    ours = masked | ({"paste": False} if masked else {})
    peer = files.peer("sd1", "plain", job=job)
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=ONE, **theirs, **changes)
    same(drawn(pipe, **changes, **ours, ip_adapter_image=ONE), want, drawn(pipe, **changes, **ours, ip_adapter_image=TWO))


def _sized(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the sizes, which diffusers' img2img takes from the picture."""
    return {name: value for name, value in settings.items() if name not in ("height", "width")}


def test_each_image_of_a_batch_may_look_at_its_own(files: Files) -> None:
    pipe = files.load("sd1", "plain")
    for batching in ("batched", "sequential"):
        settings = QUICK | {"seed": 93, "num_images": 2, "guidance_batching": batching}
        both = pipe.generate(PROMPT, NEGATIVE, ip_adapter_image=[[[ONE], [TWO]]], **settings).images
        for image, own, seed in zip(both, (ONE, TWO), (93, 94), strict=True):
            # one picture alone rounds differently from two
            assert psnr(image, drawn(pipe, ip_adapter_image=own, seed=seed)) >= 60
    shared = pipe.generate(PROMPT, NEGATIVE, ip_adapter_image=ONE, **QUICK, seed=93, num_images=2).images
    assert psnr(shared[0], both[0]) >= 60
    assert psnr(shared[1], both[1]) < 40


# ---- what stays


def test_a_record_draws_the_picture_again(files: Files) -> None:
    pipe = files.load("sd1", "plain", "plus")
    options: dict[str, Any] = {
        "ip_adapter_image": [ONE, [TWO, ONE]],
        "ip_adapter_scale": [0.5, [0.7, 0.2]],
        "ip_adapter_mask": [None, [mask(64, 64), LEFT]],
    }
    result = pipe.generate(PROMPT, seed=93, **QUICK, **options)
    settings = sdrt.Settings.from_dict(result.settings.to_dict())
    assert settings.conditions["ip_adapter_scale"] == [0.5, [0.7, 0.2]]
    assert [[len(together) for together in images] for images in settings.conditions["ip_adapter_image"]] == [[1], [2]]
    assert settings.weights.keys() >= {"image_encoder", "image_projection.0", "image_projection.1"}
    assert settings.backend["image_encoder"] == "numpy"
    again = pipe.generate(**settings.options(ip_adapter_image=[ONE, TWO, ONE], ip_adapter_mask=options["ip_adapter_mask"]))
    assert np.array_equal(np.asarray(again.images[0]), np.asarray(result.images[0]))
    with pytest.raises(ConfigError, match="ip_adapter_image must be the recorded picture"):
        settings.options(ip_adapter_image=[ONE, ONE, TWO], ip_adapter_mask=options["ip_adapter_mask"])


def test_a_recording_answers_without_weights(files: Files, tmp_path: Path) -> None:
    pipe, file = files.load("sd1", "plain", "plus"), tmp_path / "run.sdrt"
    options: dict[str, Any] = QUICK | {"seed": 93, "ip_adapter_image": [ONE, [TWO, ONE]], "ip_adapter_mask": [None, [mask(64, 64)] * 2]}
    with record(file, pipe):
        want = pipe.generate(PROMPT, **options).images[0]
    with sdrt.load(file) as played:
        assert np.array_equal(np.asarray(played.generate(PROMPT, **options).images[0]), np.asarray(want))
    found = compare(file, pipe)
    assert found.equal


def test_the_record_of_one_image_of_a_batch_names_its_own_picture(files: Files) -> None:
    pipe = files.load("sd1", "plain")
    result = pipe.generate(PROMPT, seed=93, num_images=2, ip_adapter_image=[[[ONE], [TWO]]], **QUICK)
    alone = result.settings.alone(1)
    assert psnr(pipe.generate(**alone.options(ip_adapter_image=TWO)).images[0], result.images[1]) >= 60


def test_less_memory_and_exact_arithmetic_draw_the_same(files: Files) -> None:
    plain = drawn(files.load("sd1", "plus"), ip_adapter_image=ONE)
    assert psnr(drawn(files.load("sd1", "plus", reduce_memory=True, vae_tiling=False), ip_adapter_image=ONE), plain) >= 60
    assert psnr(drawn(files.load("sd1", "plus", numerics="exact"), ip_adapter_image=ONE), plain) >= 60


# ---- what is refused


@pytest.fixture(scope="module")
def pipe(files: Files) -> sdrt.Pipeline:
    return files.load("sd1", "plain", "plus")


NAN = np.full((1, 1, ENCODER["projection_dim"]), np.nan, np.float32)
ZEROS = np.zeros_like(NAN)
STATES = np.zeros((2, 1, 10, ENCODER["hidden_size"]), np.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "ip_adapter_image or ip_adapter_image_embeds must be set .* got neither"),
        ({"ip_adapter_image": [ONE, ONE], "ip_adapter_image_embeds": [NAN, STATES]}, "got both"),
        ({"ip_adapter_image": ONE}, "an entry for each IP-Adapter, 2, got 1"),
        ({"ip_adapter_image": [ONE, ONE, ONE]}, "an entry for each IP-Adapter, 2, got 3"),
        ({"ip_adapter_image": [ONE, []]}, "at least one, got 0"),
        ({"ip_adapter_image": [[[ONE], [ONE, TWO]], ONE]}, "as many pictures for each image, .* got 1 and 2"),
        ({"ip_adapter_image": [[[ONE], [ONE], [TWO]], ONE], "num_images": 2}, "one for all 2 images or one for each, got 3"),
        (
            {"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": [1.0, 1.0, 1.0]},
            "ip_adapter_scale must have an entry for each IP-Adapter, 2",
        ),
        (
            {"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": float("nan")},
            "1000000000.0, some by block .* got nan; pass",
        ),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": [[1.0, 0.5], 1.0]}, "one number without masks"),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": {"left": 1.0}}, "must name parts .*down, mid, up.* got 'left'"),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": {"up": {"block_9": 1.0}}}, "must name blocks of 'up'"),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_scale": {"up": [1.0, 1.0, 1.0, 1.0, 1.0]}}, "one a transformer, got 5"),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_mask": [[mask(), mask()], None]}, "one for each picture of an IP-Adapter, 1, got 2"),
        ({"ip_adapter_image": [ONE, TWO], "ip_adapter_mask": [mask()]}, "ip_adapter_mask must have an entry for each IP-Adapter, 2, got 1"),
        ({"ip_adapter_image_embeds": [STATES]}, "an array for each IP-Adapter, 2, got 1"),
        ({"ip_adapter_image_embeds": [NAN, STATES]}, "must be finite, got nan"),
        ({"ip_adapter_image_embeds": [STATES, STATES]}, r"must be float\[1 or 2,pictures,12\]"),
        ({"ip_adapter_image_embeds": [ZEROS, STATES[:1]]}, "negative row's states too"),
    ],
    ids=range(19),
)
def test_bad_calls_are_refused_in_one_line(pipe: sdrt.Pipeline, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        pipe.resolve(PROMPT, **options)
    assert "\n" not in str(raised.value)


def test_pictures_that_are_none_are_refused(pipe: sdrt.Pipeline) -> None:
    for bad in (np.full((8, 8, 3), np.nan), "picture.png", np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match="ip_adapter_image must be a PIL image"):
            pipe.resolve(PROMPT, ip_adapter_image=[ONE, bad])
        with pytest.raises(ImageError, match="ip_adapter_mask must be a PIL image"):
            pipe.resolve(PROMPT, ip_adapter_image=[ONE, ONE], ip_adapter_mask=[None, bad])


def test_pictures_without_an_adapter_are_refused(files: Files) -> None:
    pipe = sdrt.load(files.model("sd1"))
    given: dict[str, Any]
    for name, value in (("ip_adapter_image", ONE), ("ip_adapter_scale", 1.0), ("ip_adapter_mask", ONE), ("ip_adapter_image_embeds", NAN)):
        given = {name: value}
        with pytest.raises(ConfigError, match=f"{name} must be left out without an IP-Adapter"):
            pipe.resolve(PROMPT, **given)
    with pytest.raises(ConfigError, match="image_encoder is for pipelines with an IP-Adapter"):
        sdrt.load(files.model("sd1"), image_encoder=files.encoder)


def test_an_adapter_without_an_encoder_takes_embeddings_alone(files: Files) -> None:
    pipe = sdrt.load(files.model("sd1"), ip_adapter=files.adapter("sd1", "plain"))
    with pytest.raises(ConfigError, match="needs an image encoder"):
        pipe.resolve(PROMPT, ip_adapter_image=ONE)
    pipe.resolve(PROMPT, ip_adapter_image_embeds=ZEROS)
    with pytest.raises(ConfigError, match="an IP-Adapter's tokens must be as wide"):
        sdrt.load(files.model("sd1"), ip_adapter=files.adapter("sdxl", "plain"))


@pytest.mark.parametrize("place", ["beside", "model"])
def test_the_encoder_is_found_beside_the_adapter_or_in_the_model(files: Files, tmp_path: Path, place: str) -> None:
    model = save_pipeline_folder(tmp_path / "model", "sd1")
    save_encoder((tmp_path if place == "beside" else model) / "image_encoder")
    adapter = save_adapter(tmp_path / "adapter.safetensors", files.tensors("sd1", "plain"))
    got = drawn(sdrt.load(model, ip_adapter=adapter, threads=1), ip_adapter_image=ONE)
    assert np.array_equal(got, drawn(files.load("sd1", "plain"), ip_adapter_image=ONE))
    # without an adapter it has nothing to do
    assert "image_encoder" not in sdrt.load(model).resolve(PROMPT).backend


@pytest.mark.parametrize("backend", ["openvino", {"unet": "openvino"}, {"image_encoder": "openvino"}], ids=str)
def test_other_backends_are_refused_before_anything_runs(files: Files, backend: Any) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    with pytest.raises(ConfigError, match=r"backend of (unet|image_encoder) must be .*numpy.* got 'openvino'"):
        Files.load.__wrapped__(files, "sd1", "plain", backend=backend)


def test_files_in_place_of_folders_are_named(files: Files) -> None:
    adapter = files.adapter("sd1", "plain")
    with pytest.raises(ModelError, match=r"an image encoder must be a folder with its config\.json, got a file; pass the folder"):
        sdrt.load(files.model("sd1"), ip_adapter=adapter, image_encoder=adapter)
    with pytest.raises(ModelError, match="an IP-Adapter must be a file, got a folder; pass the file in it"):
        sdrt.load(files.model("sd1"), ip_adapter=files.encoder, image_encoder=files.encoder)
    with pytest.raises(ModelError, match="must be a t2i_adapter, got an image_encoder"):
        sdrt.load(files.model("sd1"), t2i_adapter=files.encoder)
