"""Merged weights against LyCORIS: every kind, on a matrix, a convolution over one pixel and one over nine, every factor random."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules.full import FullModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from safetensors.torch import save_file
from torch import nn

from sdrt.models import Model, open_model
from sdrt.models.lora import AppliedLora, open_lora, with_loras

RANK, ALPHA = 3, 2.0
PLACES = {
    "matrix": "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
    "pixel": "down_blocks.0.attentions.0.proj_in",
    "convolution": "mid_block.resnets.0.conv1",
}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lora": (LoConModule, {}),
    "tucker": (LoConModule, {"use_tucker": True}),
    "rank-stable": (LoConModule, {"rs_lora": True}),
    "dora": (LoConModule, {"weight_decompose": True}),
    "dora by input": (LoConModule, {"weight_decompose": True, "wd_on_out": False}),
    "loha": (LohaModule, {}),
    "loha tucker": (LohaModule, {"use_tucker": True}),
    "doha": (LohaModule, {"weight_decompose": True}),
    "lokr": (LokrModule, {"factor": 2}),
    "lokr of halves": (LokrModule, {"factor": 8, "decompose_both": True}),
    "lokr whole": (LokrModule, {"full_matrix": True}),
    "lokr tucker": (LokrModule, {"factor": 2, "use_tucker": True}),
    "dokr": (LokrModule, {"factor": 4, "weight_decompose": True}),
    "full": (FullModule, {}),
    "ia3": (IA3Module, {}),
    "ia3 by input": (IA3Module, {"train_on_input": True}),
}


@pytest.fixture(scope="module")
def model(pristine: dict[str, Path]) -> Model:
    return open_model(pristine["sd1"])


def layer_of(model: Model, module: str) -> Any:
    """The layer of torch that holds a module's tensors."""
    weights = model.tensors("unet")
    shape = weights.shape(f"{module}.weight")
    biased = f"{module}.bias" in weights
    layer: Any
    if len(shape) == 1:
        layer = nn.GroupNorm(1, shape[0])
    elif len(shape) == 2:
        layer = nn.Linear(shape[1], shape[0], bias=biased)
    else:
        layer = nn.Conv2d(shape[1], shape[0], (shape[2], shape[3]), bias=biased)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.from_numpy(weights[f"{module}.{name}"].copy()))
    return layer.requires_grad_(False)


def randomised(peer: Any, seed: int) -> Any:
    """Randomise the factors; magnitudes stay near the lengths that they start at, and a full delta near its weight."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(peer, FullModule):
        # while it is trained it holds the whole weight
        peer.apply_to()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            if name == "dora_scale":
                parameter *= 1 + noise
            elif isinstance(peer, FullModule):
                parameter += noise
            else:
                parameter.copy_(noise)
    return peer


def save(peer: Any, module: str, file: Path) -> None:
    flat = f"lora_unet_{module.replace('.', '_')}"
    save_file({f"{flat}.{name}": tensor.detach().clone().contiguous() for name, tensor in peer.state_dict().items()}, file)


def change_by_peer(peer: Any, weight: torch.Tensor) -> Any:
    """What the peer adds to a weight in its own forward, at full strength; its merged weights apply alpha twice for two of the kinds."""
    if isinstance(peer, LohaModule | LokrModule):
        change = peer.get_weight(weight.shape)
    elif isinstance(peer, LoConModule):
        change = peer.make_weight() * peer.scale
    else:
        change = peer.get_diff_weight(1)[0]
    return peer.apply_weight_decompose(weight + change) - weight if getattr(peer, "wd", False) else change


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_merged_as_its_peer_does(model: Model, tmp_path: Path, kind: str, place: str) -> None:
    module = PLACES[place]
    layer = layer_of(model, module)
    make, options = KINDS[kind]
    weight = layer.weight.clone()
    peer = randomised(make("x", layer, 1.0, RANK, ALPHA, **options), seed=1)
    save(peer, module, tmp_path / "x.safetensors")
    applied = AppliedLora(open_lora(tmp_path / "x.safetensors", model), 0.7)
    found = torch.from_numpy(with_loras(model, [applied]).tensors("unet")[f"{module}.weight"])
    with torch.no_grad():
        wanted = weight + 0.7 * change_by_peer(peer, weight)
    largest = wanted.abs().max()
    assert (wanted - weight).abs().max() > 0.02 * largest
    # float32: sums of products in another order
    assert (found - wanted).abs().max() < 2e-6 * largest


def test_biases_and_norms_have_deltas_of_their_own(model: Model, tmp_path: Path) -> None:
    for module, make in ((PLACES["convolution"], FullModule), ("mid_block.resnets.0.norm1", NormModule)):
        layer = layer_of(model, module)
        tensors = {name: tensor.clone() for name, tensor in layer.named_parameters()}
        peer = randomised(make("x", layer, 1.0), seed=2)
        save(peer, module, tmp_path / "x.safetensors")
        applied = AppliedLora(open_lora(tmp_path / "x.safetensors", model), -1.5)
        found = with_loras(model, [applied]).tensors("unet")
        for (name, tensor), change in zip(tensors.items(), peer.get_diff_weight(-1.5), strict=True):
            assert change.abs().max() > 0.1
            assert torch.allclose(torch.from_numpy(found[f"{module}.{name}"]), tensor + change, rtol=0, atol=1e-6)
