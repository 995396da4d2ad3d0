"""The networks of image prompts on numpy and torch against transformers and diffusers: encoder, projections, decoupled attention."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import IPAdapterPlusImageProjection

from sdrt.backends import Backend, BackendOptions, Network
from sdrt.backends.contract import signature
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.bicubic import resized
from sdrt.backends.torch import TorchBackend
from sdrt.models import open_component
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.models.ip_adapter import IPAdapterFile, with_ip_adapters
from tests.factories import ADDED, UNETS, normal, random_unet, randomise
from tests.image_prompts import KINDS, Kind, adapter_tensors, nested, random_encoder, save_adapter, save_encoder

BACKENDS: list[Backend] = [NumpyBackend(), TorchBackend()]
ROWS, SIDES = 2, (16, 24)  # latents whose sides every level halves: diffusers guesses those of other masks wrongly
SCALES = (0.7, 0.4, 1.2)

both_families = pytest.mark.parametrize("prompted", ["sd1", "sdxl"], indirect=True)
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def distance(ours: Any, peers: Any) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.abs(ours - np.asarray(peers)).max() / np.abs(np.asarray(peers)).max())


# ---- the image encoder


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


# 2e-6: both in float32, over three layers; measured at 5e-7. float64 is compared with float32's own rounding.
@each_backend
@pytest.mark.parametrize("numerics", ["float32", "float64"])
def test_the_image_encoder_is_transformers(encoder_folder: Path, backend: Backend, numerics: Any) -> None:
    model, pixels = open_component(encoder_folder, "image_encoder"), normal(1, 3, 3, 13, 13)
    with torch.no_grad():
        peer = random_encoder()(torch.from_numpy(pixels), output_hidden_states=True)
    network = backend.open("image_encoder", model, BackendOptions(numerics=numerics))
    outputs = network(pixel_values=pixels.astype(np.float64 if numerics == "float64" else np.float32))
    assert outputs.keys() == {"image_embeds", "penultimate_hidden_state"}
    assert distance(outputs["image_embeds"], peer.image_embeds) < 2e-6
    assert distance(outputs["penultimate_hidden_state"], peer.hidden_states[-2]) < 2e-6


def test_the_exact_encoder_gives_one_answer_whatever_the_batch(encoder_folder: Path) -> None:
    model, pixels = open_component(encoder_folder, "image_encoder"), normal(1, 3, 3, 13, 13)
    network = NumpyBackend().open("image_encoder", model, BackendOptions(numerics="exact", threads=1))
    together, alone = network(pixel_values=pixels), network(pixel_values=pixels[:1])
    assert all(np.array_equal(together[name][:1], alone[name]) for name in together)
    plain = NumpyBackend().open("image_encoder", model, BackendOptions())(pixel_values=pixels)
    assert all(distance(together[name], plain[name]) < 2e-6 for name in together)


# ---- a U-Net with an adapter of each kind


@dataclass(frozen=True)
class Prompted:
    """A model, three adapters, and diffusers' U-Net with the same."""

    model: Any
    adapters: list[IPAdapterFile]
    peer: UNet2DConditionModel
    embeddings: list[np.ndarray]
    inputs: dict[str, np.ndarray]

    @property
    def view(self) -> Any:
        return with_ip_adapters(self.model, self.adapters)

    def predict(self, masks: list[Any] | None = None) -> np.ndarray:
        """What diffusers predicts, at SCALES."""
        for processor in self.peer.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = list(SCALES)
        given = {name: torch.from_numpy(x) for name, x in self.inputs.items()}
        added: dict[str, Any] = {name: given.pop(name) for name in ("text_embeds", "time_ids") if name in given}
        added["image_embeds"] = [torch.from_numpy(each) for each in self.embeddings]
        kwargs = None if masks is None else {"ip_adapter_masks": [None if each is None else torch.from_numpy(each) for each in masks]}
        with torch.no_grad():
            output = self.peer(**given, added_cond_kwargs=added, cross_attention_kwargs=kwargs)
        return np.asarray(output.sample)

    def tokens(self, adapter: int, apart: bool = False) -> np.ndarray:
        """An adapter's tokens: of all pictures together, or of each picture apart."""
        rows, pictures = self.embeddings[adapter].shape[:2]
        flat = torch.from_numpy(self.embeddings[adapter].reshape(rows * pictures, *self.embeddings[adapter].shape[2:]))
        projection: Any = self.peer.encoder_hid_proj
        with torch.no_grad():
            tokens = projection.image_projection_layers[adapter](flat).numpy()
        return np.asarray(tokens.reshape(rows, pictures if apart else 1, -1, tokens.shape[2]))

    def prompts(self, scales: tuple[float, ...] = SCALES) -> dict[str, np.ndarray]:
        """The inputs of image prompts without masks."""
        count, inputs = len(cross_attentions(self.model.config("unet"))), {}
        for k, scale in enumerate(scales):
            inputs[f"ip_adapter_tokens_{k}"] = self.tokens(k)
            inputs[f"ip_adapter_scale_{k}"] = np.full((ROWS, 1, count), scale, np.float32)
            inputs[f"ip_adapter_mask_{k}"] = np.ones((ROWS, 1, 1, 1), np.float32)
        return inputs


@pytest.fixture(scope="module", params=["sd1"])
def prompted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prompted:
    form, root = request.param, tmp_path_factory.mktemp(request.param)
    peer = random_unet(UNETS[form])
    peer.save_pretrained(root / "unet")
    model: Any = open_component(root / "unet", "unet")
    tensors = [adapter_tensors(peer, kind, seed=k) for k, kind in enumerate(KINDS)]
    files = [save_adapter(root / f"{kind}.safetensors", each) for kind, each in zip(KINDS, tensors, strict=True)]
    peer._load_ip_adapter_weights([nested(each) for each in tensors], low_cpu_mem_usage=False)
    width = model.config("unet")["cross_attention_dim"]
    inputs = {
        "sample": normal(4, ROWS, 4, *SIDES),
        "timestep": np.full(ROWS, 500, np.float32),
        "encoder_hidden_states": normal(5, ROWS, 7, width),
    }
    if form == "sdxl":
        pooled, _ = ADDED[form]
        inputs |= {"text_embeds": normal(6, ROWS, pooled), "time_ids": np.tile(np.array([8, 8, 0, 0, 8, 8], np.float32), (ROWS, 1))}
    # the second adapter sees two pictures; a picture has 10 states
    embeddings = [normal(1, ROWS, 1, 12), normal(2, ROWS, 2, 10, 16), normal(3, ROWS, 1, 10, 16)]
    return Prompted(model, [IPAdapterFile(file, file.stem) for file in files], peer, embeddings, inputs)


@each_backend
@pytest.mark.parametrize("kind", KINDS)
def test_projections_are_diffusers(prompted: Prompted, backend: Backend, kind: Kind) -> None:
    k = KINDS.index(kind)
    network = backend.open("image_projection", prompted.adapters[k], BackendOptions())
    (name,) = network.signature.input_names()
    embeddings = prompted.embeddings[k]
    tokens = network(**{name: embeddings.reshape(-1, *embeddings.shape[2:])})["image_tokens"]
    # 2e-6: float32 on both sides, measured at 5e-7
    assert distance(tokens.reshape(prompted.tokens(k, apart=True).shape), prompted.tokens(k, apart=True)) < 2e-6


@both_families
def test_attentions_are_counted_as_diffusers_counts_them(prompted: Prompted) -> None:
    names = [name.removesuffix(".processor") for name in prompted.peer.attn_processors if name.endswith("attn2.processor")]
    assert list(cross_attentions(prompted.model.config("unet"))) == names


@pytest.mark.parametrize(
    "changes",
    [
        {"layers_per_block": (1, 2), "transformer_layers_per_block": (1, 2)},
        {"layers_per_block": 2, "transformer_layers_per_block": ((1, 2), (3, 1)), "reverse_transformer_layers_per_block": ((1, 2, 1), 2)},
        {"mid_block_type": None},
        {"mid_block_type": "UNetMidBlock2D"},
        {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_attentions_of_other_shapes_are_counted_so_too(changes: dict[str, Any]) -> None:
    config: dict[str, Any] = {
        "block_out_channels": (8, 8),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "norm_num_groups": 4,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        **changes,
    }
    from sdrt.models.components import COMPONENTS

    peer = random_unet(config)
    names = [name.removesuffix(".processor") for name in peer.attn_processors if name.endswith("attn2.processor")]
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    assert list(cross_attentions(COMPONENTS["unet"].complete(listed))) == names


@both_families
@each_backend
def test_the_unet_is_diffusers(prompted: Prompted, backend: Backend) -> None:
    peer, inputs = prompted.predict(), prompted.inputs
    plain = backend.open("unet", prompted.model, BackendOptions())(**inputs)["noise_pred"]
    # without the adapters it is another prediction
    assert distance(plain, peer) > 0.1
    network = backend.open("unet", prompted.view, BackendOptions())
    predicted = network(**inputs, **prompted.prompts())["noise_pred"]
    # 1e-5: float32 on both sides through the whole network, measured at 4e-6
    assert distance(predicted, peer) < 1e-5
    # each row alone, and what is bound, give the same
    assert np.array_equal(_bound(network, prompted), predicted)
    alone = network(**{name: x[1:] for name, x in {**inputs, **prompted.prompts()}.items()})["noise_pred"]
    assert distance(alone, predicted[1:]) < 1e-5


def _bound(network: Network, prompted: Prompted) -> np.ndarray:
    run = ("sample", "timestep")
    fixed = {name: x for name, x in prompted.inputs.items() if name not in run}
    bound = network.bind(**fixed).bind(**prompted.prompts())
    return bound(**{name: prompted.inputs[name] for name in run})["noise_pred"]


@each_backend
def test_scale_zero_is_the_plain_network_to_the_bit(prompted: Prompted, backend: Backend) -> None:
    plain = backend.open("unet", prompted.model, BackendOptions())(**prompted.inputs)["noise_pred"]
    network = backend.open("unet", prompted.view, BackendOptions())
    assert np.array_equal(network(**prompted.inputs, **prompted.prompts((0.0, 0.0, 0.0)))["noise_pred"], plain)


@both_families
@each_backend
def test_masks_are_diffusers(prompted: Prompted, backend: Backend) -> None:
    size = (SIDES[0] * 8, SIDES[1] * 8)
    masks = (normal(9, 2, *size) > 0).astype(np.float32)
    # the first adapter everywhere, the second's two pictures each in its own part, the third's in one
    peer = prompted.predict([None, masks[None], masks[None, :1]])
    inputs, count = prompted.prompts(), len(cross_attentions(prompted.model.config("unet")))
    assert distance(prompted.predict(), peer) > 0.05
    inputs["ip_adapter_tokens_1"] = prompted.tokens(1, apart=True)
    inputs["ip_adapter_scale_1"] = np.full((ROWS, 2, count), SCALES[1], np.float32)
    inputs["ip_adapter_mask_1"] = np.tile(masks, (ROWS, 1, 1, 1))
    inputs["ip_adapter_mask_2"] = np.tile(masks[:1], (ROWS, 1, 1, 1))
    predicted = backend.open("unet", prompted.view, BackendOptions())(**prompted.inputs, **inputs)["noise_pred"]
    assert distance(predicted, peer) < 1e-5


def test_float64_agrees_on_both_backends(prompted: Prompted) -> None:
    inputs = {name: x.astype(np.float64) for name, x in {**prompted.inputs, **prompted.prompts()}.items()}
    inputs["ip_adapter_mask_0"] = np.random.default_rng(1).random((ROWS, 1, SIDES[0] * 8, SIDES[1] * 8))
    ours, peers = (backend.open("unet", prompted.view, BackendOptions(numerics="float64"))(**inputs)["noise_pred"] for backend in BACKENDS)
    assert distance(ours, peers) < 1e-12


def test_low_memory_changes_nothing(prompted: Prompted) -> None:
    inputs = {**prompted.inputs, **prompted.prompts()}
    plain, slow = (NumpyBackend().open("unet", prompted.view, BackendOptions(low_memory=low))(**inputs) for low in (False, True))
    # the same products of the same numbers
    assert distance(slow["noise_pred"], plain["noise_pred"]) < 1e-6


def test_exact_gives_one_answer_whatever_the_batch(prompted: Prompted) -> None:
    inputs = {**prompted.inputs, **prompted.prompts()}
    inputs["ip_adapter_mask_0"] = np.random.default_rng(1).random((ROWS, 1, SIDES[0] * 8, SIDES[1] * 8)).astype(np.float32)
    network = NumpyBackend().open("unet", prompted.view, BackendOptions(numerics="exact", threads=1))
    together, alone = network(**inputs)["noise_pred"], network(**{name: x[:1] for name, x in inputs.items()})["noise_pred"]
    assert np.array_equal(together[:1], alone)


@each_backend
def test_inner_values_have_diffusers_names(prompted: Prompted, backend: Backend) -> None:
    network: Any = backend.open("unet", prompted.view, BackendOptions())
    path = f"{cross_attentions(prompted.model.config('unet'))[0]}.processor.to_v_ip.1"
    assert path in network.trace_names
    values = network.trace([path], **prompted.inputs, **prompted.prompts())[path]
    weight = dict(prompted.peer.named_parameters())[f"{path}.weight"].detach().numpy()
    assert distance(values.reshape(ROWS, -1, weight.shape[0]), prompted.tokens(1)[:, 0] @ weight.T) < 1e-5


def test_the_contract_lists_the_inputs(prompted: Prompted) -> None:
    specs = {spec.name: spec for spec in signature("unet", prompted.view.config("unet"), "float32").inputs}
    width, count = prompted.model.config("unet")["cross_attention_dim"], len(cross_attentions(prompted.model.config("unet")))
    assert [name for name in specs if "adapter" in name][:3] == ["ip_adapter_tokens_0", "ip_adapter_scale_0", "ip_adapter_mask_0"]
    assert sum("adapter" in name for name in specs) == 9
    assert specs["ip_adapter_tokens_2"].shape == (None, None, None, width)
    assert specs["ip_adapter_scale_2"].shape == (None, None, count)


# ---- masks at other sizes


@pytest.mark.parametrize(("before", "after"), [((64, 48), (8, 6)), ((64, 48), (3, 7)), ((5, 4), (9, 11)), ((1, 1), (3, 2))])
def test_bicubic_is_torchs(before: tuple[int, int], after: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).random((2, 3, *before))
    peer = torch.nn.functional.interpolate(torch.from_numpy(pictures), after, mode="bicubic").numpy()
    # float64: the weights alone are rounded
    assert np.abs(resized(pictures, *after) - peer).max() < 1e-13


# ---- shapes of the published models, with few layers


@pytest.mark.slow
@each_backend
def test_real_shapes(backend: Backend, tmp_path: Path) -> None:
    """ViT-H, and the resampler of "plus" for Stable Diffusion 1.5."""
    config = {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 3,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    }
    save_encoder(tmp_path / "encoder", config)
    pixels = normal(1, 1, 3, 224, 224)
    with torch.no_grad():
        seen = random_encoder(config)(torch.from_numpy(pixels), output_hidden_states=True)
    outputs = backend.open("image_encoder", open_component(tmp_path / "encoder", "image_encoder"), BackendOptions())(pixel_values=pixels)
    assert distance(outputs["image_embeds"], seen.image_embeds) < 1e-5
    assert distance(outputs["penultimate_hidden_state"], seen.hidden_states[-2]) < 1e-5
    peer = IPAdapterPlusImageProjection(embed_dims=1280, output_dims=768, hidden_dims=768, heads=12, num_queries=16).eval()
    randomise(peer, 2)
    tensors = {f"image_proj.{name}": tensor.numpy() for name, tensor in peer.state_dict().items()}
    tensors |= {f"ip_adapter.1.{side}.weight": np.ones((4, 768), np.float32) for side in ("to_k_ip", "to_v_ip")}
    adapter = IPAdapterFile(save_adapter(tmp_path / "plus.safetensors", tensors), "plus")
    states = seen.hidden_states[-2]
    with torch.no_grad():
        tokens = peer(states)
    network = backend.open("image_projection", adapter, BackendOptions())
    assert distance(network(penultimate_hidden_state=states.numpy())["image_tokens"], tokens) < 1e-5
