"""Rewritten U-Nets and ControlNets compared with diffusers' own, before and after conversion."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention import FeedForward as PeerFeedForward
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from converter.options import Attention, Precision
from converter.rewrite import rewrite
from converter.rewrite.attention import original, split_einsum, split_einsum_v2
from converter.rewrite.channel_norm import ChannelNorm
from converter.rewrite.transformer import FeedForward
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.models.mlpackage.dtypes import FLOATS
from sdrt.models.mlpackage.mil import Operation, TensorType
from tests.converter.rewritten import Inputs, called, decibels, inputs_of, package, predicted, small
from tests.factories import CONTROLNETS, UNETS, Form, random_controlnet, random_unet, randomise

# A network of several hundred float32 layers, summed in another order: at most 2.1e-6 was seen.
_SAME = 1e-5
FORMS: tuple[Form, ...] = tuple(UNETS)
CONTROLLED: tuple[Form, ...] = tuple(CONTROLNETS)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _distance(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Return the largest difference of any output, each relative to its own largest value."""
    assert [one.shape for one in found] == [other.shape for other in wanted]
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("attention", Attention)
@pytest.mark.parametrize("form", FORMS)
def test_a_rewritten_unet_is_diffusers_unet(form: Form, attention: Attention) -> None:
    module = random_unet(UNETS[form])
    rewritten = rewrite(module, attention)
    # An even size, and one that is odd at every level and not square.
    for size in ((8, 8), (9, 11)):
        found = inputs_of(module, form, size)
        assert _distance(called(rewritten, found), predicted(module, found)) <= _SAME


@pytest.mark.parametrize("attention", Attention)
@pytest.mark.parametrize("form", CONTROLLED)
def test_a_rewritten_controlnet_is_diffusers_controlnet(form: Form, attention: Attention) -> None:
    module = random_controlnet(CONTROLNETS[form])
    found = inputs_of(module, form, (8, 16))
    assert _distance(called(rewrite(module, attention), found), predicted(module, found)) <= _SAME


@pytest.mark.parametrize("size", [(32, 16), (26, 40), (33, 17)])
def test_runs_of_512_queries_lose_none(size: tuple[int, int]) -> None:
    """512 queries, 1040 and 561: one run, two and a remainder of 16, one and a remainder of 49."""
    module = random_unet(small(UNETS["sd1"]))
    found = inputs_of(module, "sd1", size)
    assert _distance(called(rewrite(module, Attention.SPLIT_EINSUM_V2), found), predicted(module, found)) <= _SAME


@pytest.mark.parametrize("form", CONTROLLED)
def test_a_unet_adds_residuals(form: Form) -> None:
    module = random_unet(UNETS[form])
    rewritten = rewrite(module, Attention.ORIGINAL)
    found = inputs_of(module, form, residuals=True)
    wanted = predicted(module, found)
    assert _distance(called(rewritten, found), wanted) <= _SAME
    for name in [name for name in found if name.startswith("additional_residual_")]:
        assert _distance(called(rewritten, found | {name: torch.zeros_like(found[name])}), wanted) > 1e-3, name


@pytest.mark.parametrize("form", [*FORMS, "controlnet"])
def test_every_input_moves_the_result(form: Any) -> None:
    """A different value of any one input brings the result below 40 dB, by as much as in diffusers."""
    module: Any = random_controlnet(CONTROLNETS["sdxl"]) if form == "controlnet" else random_unet(UNETS[form])
    kind: Form = "sdxl" if form == "controlnet" else form
    rewritten = rewrite(module, Attention.SPLIT_EINSUM)
    found, others = inputs_of(module, kind), inputs_of(module, kind, seed=1) | {"timestep": torch.tensor([21.0, 500.0])}
    base = called(rewritten, found)[-1].numpy()
    for name in found:
        changed = found | {name: others[name]}
        moved = called(rewritten, changed)
        assert decibels(moved[-1].numpy(), base) < 40, name
        assert _distance(moved, predicted(module, changed)) <= _SAME, name


@pytest.mark.parametrize(
    "change",
    [
        {"center_input_sample": True},
        {"flip_sin_to_cos": False, "freq_shift": 1},
        {"downsample_padding": 0},
        {"only_cross_attention": (True, False)},
        {"mid_block_type": "UNetMidBlock2D"},
        {"mid_block_type": None},
        {"time_embedding_dim": 72},
        {"conv_in_kernel": 5, "conv_out_kernel": 1},
        {"norm_eps": 0.1},
        {"transformer_layers_per_block": 2},
    ],
    ids=str,
)
def test_configurations_beside_the_published_ones(change: dict[str, Any]) -> None:
    module = random_unet({**small(UNETS["sd1"]), **change})
    found = inputs_of(module, "sd1", (8, 6))
    wanted = predicted(module, found)
    assert _distance(called(rewrite(module, Attention.SPLIT_EINSUM), found), wanted) <= _SAME


@pytest.mark.parametrize("change", [{"controlnet_conditioning_channel_order": "bgr"}, {"global_pool_conditions": True}], ids=str)
def test_controlnets_beside_the_usual(change: dict[str, Any]) -> None:
    module, plain = (random_controlnet({**small(CONTROLNETS["sd1"]), **extra}) for extra in (change, {}))
    found = inputs_of(module, "sd1")
    ours = called(rewrite(module, Attention.ORIGINAL), found)
    assert _distance(ours, predicted(module, found)) <= _SAME
    others = called(rewrite(plain, Attention.ORIGINAL), found)
    assert ours[0].shape != others[0].shape or _distance(ours, others) > 1e-2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("act_fn", "gelu"),
        ("addition_embed_type", "text_image"),
        ("attention_type", "gated"),
        ("class_embed_type", "timestep"),
        ("class_embeddings_concat", True),
        ("cross_attention_norm", "layer_norm"),
        ("down_block_types", ("SimpleCrossAttnDownBlock2D", "DownBlock2D")),
        ("dual_cross_attention", True),
        ("encoder_hid_dim", 16),
        ("encoder_hid_dim_type", "image_proj"),
        ("mid_block_scale_factor", 2.0),
        ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
        ("norm_num_groups", None),
        ("num_class_embeds", 10),
        ("resnet_out_scale_factor", 2.0),
        ("resnet_skip_time_act", True),
        ("resnet_time_scale_shift", "scale_shift"),
        ("time_embedding_act_fn", "silu"),
        ("time_embedding_type", "fourier"),
        ("timestep_post_act", "silu"),
        ("up_block_types", ("UpBlock2D", "SimpleCrossAttnUpBlock2D")),
    ],
)
def test_what_is_not_known_is_refused_by_its_key(key: str, value: Any) -> None:
    module = random_unet(small(UNETS["sd1"]))
    module.register_to_config(**{key: value})
    with pytest.raises(ConfigError, match=key):
        rewrite(module, Attention.ORIGINAL)


def test_other_modules_are_refused() -> None:
    with pytest.raises(ConfigError, match="got Linear"):
        rewrite(nn.Linear(2, 2), Attention.ORIGINAL)


def test_adapters_that_are_not_merged_are_refused() -> None:
    class Adapted(nn.Linear):
        """The layer that a LoRA library substitutes."""

    module = random_unet(small(UNETS["sd1"]))
    module.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q = Adapted(32, 32)
    with pytest.raises(ConfigError, match="merge adapters"):
        rewrite(module, Attention.ORIGINAL)


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        ("sd1", {"text_embeds": torch.zeros(2, 4)}, "SDXL"),
        ("sd1", {"timestep_cond": torch.zeros(2, 4)}, "time_cond_proj_dim"),
        ("sd1", {"additional_residual_0": torch.zeros(2, 32, 8, 8)}, "got 1"),
        ("sdxl", {"time_ids": None}, "time_ids and text_embeds must both be given"),
    ],
)
def test_inputs_that_do_not_belong_to_a_model_are_refused(form: Form, change: dict[str, Any], message: str) -> None:
    module = random_unet(small(UNETS[form]))
    found = inputs_of(module, form) | change
    with pytest.raises(ArrayContractError, match=message):
        called(rewrite(module, Attention.ORIGINAL), found)


def test_the_module_stays_and_its_weights_are_shared() -> None:
    module = random_unet(small(UNETS["sd1"]))
    found = inputs_of(module, "sd1")
    before, wanted = {name: value.clone() for name, value in module.state_dict().items()}, predicted(module, found)
    rewritten = rewrite(module, Attention.SPLIT_EINSUM)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(predicted(module, found)[0], wanted[0])
    theirs = {value.data_ptr() for value in module.parameters()}
    own = [name for name, value in rewritten.named_parameters() if value.data_ptr() not in theirs]
    assert own
    assert all(name.endswith("q.weight") for name in own)
    assert not any(value.requires_grad for value in rewritten.parameters())
    assert not any(isinstance(each, nn.Linear) for each in rewritten.modules())


@settings(max_examples=25)
@given(heads=st.integers(1, 3), size=st.integers(1, 5), queries=st.sampled_from([1, 511, 512, 513, 1024, 1030]), keys=st.integers(1, 9))
def test_the_three_forms_of_attention_are_one(heads: int, size: int, queries: int, keys: int) -> None:
    generator = torch.Generator().manual_seed(queries + keys)
    q, k, v = (torch.randn((2, heads * size, 1, length), generator=generator).double() for length in (queries, keys, keys))
    query, key, value = (x.reshape(2, heads, size, -1).transpose(2, 3) for x in (q, k, v))
    wanted = functional.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(2, 3).reshape(q.shape)
    for attend in (original, split_einsum, split_einsum_v2):
        # float64: several dozen roundings.
        assert torch.allclose(attend(q, k, v, heads), wanted, rtol=0, atol=1e-13)


def test_channels_are_normalised_also_where_a_weight_is_zero() -> None:
    norm = nn.LayerNorm(6, eps=1e-3)
    randomise(norm)
    norm.weight[2], norm.weight[3] = 0.0, 1e-30
    x = torch.randn(2, 6, 1, 5) * 3 + 2
    wanted = norm(x.transpose(1, 3)).transpose(1, 3)
    assert torch.equal(ChannelNorm(norm)(x), wanted)
    with pytest.raises(ConfigError, match="weight and bias"):
        ChannelNorm(nn.LayerNorm(6, elementwise_affine=False))


@pytest.mark.parametrize("kind", ["geglu", "gelu", "gelu-approximate"])
def test_feed_forward_layers(kind: str) -> None:
    # The first of them has no layer in diffusers' own class, which therefore cannot be made.
    layer = PeerFeedForward(6, activation_fn="gelu-approximate" if kind == "gelu" else kind)
    if kind == "gelu":
        layer.net[0].approximate = "none"
    randomise(layer)
    x = torch.randn(2, 5, 6)
    wanted = layer(x).transpose(1, 2)[:, :, None]
    assert _distance([FeedForward(layer)(x.transpose(1, 2)[:, :, None])], [wanted]) <= 1e-6
    with pytest.raises(ConfigError, match="SwiGLU"):
        FeedForward(PeerFeedForward(6, activation_fn="swiglu"))


# The packages: each converted once, all small.
Made = tuple[Path, Any, Inputs]
_PICTURE = (24, 26)  # 624 pixels: a run of 512 and a remainder of 112


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Precision, Attention], Made]:
    """Return a function that makes a package, the network it was made from, and inputs."""
    kept: dict[tuple[str, Precision, Attention], Made] = {}

    def make(name: str, precision: Precision, attention: Attention) -> Made:
        key = (name, precision, attention)
        if key not in kept:
            module, found, count = _network(name)
            outputs = [f"out_{index}" for index in range(count)]
            path = tmp_path_factory.mktemp("packages") / f"{'-'.join(key)}.mlpackage"
            kept[key] = package(rewrite(module, attention), found, outputs, path, precision), module, found
        return kept[key]

    return make


def _network(name: str) -> tuple[Any, Inputs, int]:
    if name == "controlnet":
        module: Any = random_controlnet(small(CONTROLNETS["sd1"]))
        return module, inputs_of(module, "sd1"), 5
    if name == "sdxl":
        module = random_unet(small(UNETS["sdxl"]))
        return module, inputs_of(module, "sdxl"), 1
    if name == "everything":
        # In-painting's channels, a latent consistency model's guidance, and a ControlNet's residuals.
        module = random_unet({**small(UNETS["inpaint"]), "time_cond_proj_dim": 24})
        return module, inputs_of(module, "inpaint", residuals=True), 1
    # Its middle, far smaller than a run of queries, has no transformers: conversions take seconds each.
    module = random_unet({**small(UNETS["sd1"]), "mid_block_type": "UNetMidBlock2D"})
    return module, inputs_of(module, "sd1", _PICTURE), 1


PACKAGES: tuple[tuple[str, Precision, Attention], ...] = (
    ("sd1", "float16", Attention.SPLIT_EINSUM_V2),
    ("sdxl", "float16", Attention.SPLIT_EINSUM),
    ("everything", "float32", Attention.ORIGINAL),
    ("controlnet", "float16", Attention.SPLIT_EINSUM),
)
packages = pytest.mark.parametrize(("name", "precision", "attention"), PACKAGES)


@packages
def test_a_package_is_diffusers_network_at_every_timestep(made: Any, name: str, precision: Precision, attention: Attention) -> None:
    """Each operation rounded as the program rounds it, including late and fractional timesteps."""
    path, module, found = made(name, precision, attention)
    program = MLProgram(path, precision=precision)
    # Each of several dozen layers rounds to 2**-11 of a value: at least 65 dB was seen; float32's bound is the epsilon of 1e-5 that
    # coremltools adds to a variance of 1 when it scales a normalised group: 112 dB.
    bound = 108 if precision == "float32" else 60
    for timestep in (981.0, 785.954, 500.0, 1.0):
        at = found | {"timestep": torch.full((2,), timestep)}
        outputs = program.predict({name: value.numpy() for name, value in at.items()})
        for one, other in zip(outputs.values(), predicted(module, at), strict=True):
            assert decibels(one, other.numpy()) >= bound, (timestep, decibels(one, other.numpy()))


def _operations(path: Path) -> list[Operation]:
    return [operation for stage in MLProgram(path, fuse=False)._stages for operation in stage.function.block.operations]


@packages
def test_operations_are_those_that_are_meant(made: Any, name: str, precision: Precision, attention: Attention) -> None:
    path, module, _ = made(name, precision, attention)
    operations = _operations(path)
    counts = Counter(operation.type for operation in operations)
    kinds = Counter(type(each).__name__ for each in module.modules())
    assert counts["layer_norm"] == kinds["LayerNorm"]
    assert counts["square"] == counts["sqrt"] == kinds["GroupNorm"]
    assert counts["linear"] == 0
    split = attention is not Attention.ORIGINAL
    assert (counts["einsum"] > 0, counts["matmul"] > 0) == (split, not split)
    # No scaling of scores, and sums in float32 only.
    assert counts["softmax"] * 2 == counts["einsum"] + counts["matmul"]
    exact = [operation for operation in operations if operation.type in ("sin", "cos", "square", "sqrt", "reduce_mean", "real_div")]
    assert {_dtype(operation) for operation in exact} == {"fp32"}
    rounded = [operation for operation in operations if operation.type in ("conv", "softmax", "layer_norm", "batch_norm", "silu")]
    assert {_dtype(operation) for operation in rounded} == {"fp16" if precision == "float16" else "fp32"}


def _dtype(operation: Operation) -> str:
    kind = operation.outputs[0].type
    assert isinstance(kind, TensorType)
    return kind.dtype


@packages
def test_no_constant_is_infinite(made: Any, name: str, precision: Precision, attention: Attention) -> None:
    program = MLProgram(made(name, precision, attention)[0], fuse=False)
    seen = 0
    for stage in program._stages:
        constants = stage.executor._constants
        for operation in stage.function.block.operations:
            kind = operation.outputs[0].type
            if operation.name in constants and isinstance(kind, TensorType) and kind.dtype in FLOATS:
                found = constants.argument(operation.name)
                assert found is not None
                assert np.isfinite(found).all(), operation.name
                seen += found.size
    assert seen > 1000


@packages
def test_the_executor_knows_every_piece(made: Any, name: str, precision: Precision, attention: Attention) -> None:
    """Fast kernels replace norms, attention and feed-forward layers, including their casts in float16 packages, without any change."""
    path, module, found = made(name, precision, attention)
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    left = Counter(step.operation.type for stage in fused._stages for step in stage.executor.computations if _is_plain(step))
    pieces = {"softmax", "einsum", "matmul", "slice_by_index", "square", "reduce_mean", "batch_norm", "gelu", "split", "conv"}
    assert not left.keys() & pieces
    # Only the up path concatenates arrays, and the time embedding its sines and cosines.
    ups = sum(len(block.resnets) for block in getattr(module, "up_blocks", ()))
    assert left["concat"] == ups + (3 if name == "sdxl" else 1)
    given_inputs = {key: value.numpy() for key, value in found.items()}
    for one, other in zip(fused.predict(given_inputs).values(), plain.predict(given_inputs).values(), strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def _is_plain(step: Any) -> bool:
    return type(step).__name__ == "OperationStep"


def test_one_package_for_pictures_of_several_sizes(tmp_path: Path) -> None:
    one_transformer = {"mid_block_type": "UNetMidBlock2D", "up_block_types": ("UpBlock2D", "UpBlock2D")}
    module = random_unet({**small(UNETS["sd1"]), **one_transformer})
    sizes = [(8, 8), (12, 8), (8, 16)]
    found = inputs_of(module, "sd1")
    path = tmp_path / "sizes.mlpackage"
    package(rewrite(module, Attention.SPLIT_EINSUM), found, ["out"], path, "float16", samples=[(2, 4, *size) for size in sizes])
    for size in sizes:
        at = inputs_of(module, "sd1", size)
        given_inputs = {name: value.numpy() for name, value in at.items()}
        wanted = predicted(module, at)[0].numpy()
        rounded = MLProgram(path, precision="float16").predict(given_inputs)["out"]
        assert decibels(rounded, wanted) >= 60, size
    exact = {_dtype(operation) for operation in _operations(path) if operation.type in ("sin", "cos", "square", "sqrt", "real_div")}
    assert exact == {"fp32"}


@pytest.mark.parametrize("kept", [True, False])
def test_groups_far_from_their_mean_survive_half_precision(kept: bool, tmp_path: Path) -> None:
    """Values 3000 apart, whose squares exceed half precision: 50 dB with the statistics in float32, noise without."""
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 8).eval()
    randomise(norm)
    x = 3000 * torch.randn(2, 8, 6, 6) + 500
    path = package(norm, {"x": x}, ["y"], tmp_path / "norm.mlpackage", "float16", norms_in_float32=kept)
    found = MLProgram(path, precision="float16").predict({"x": x.numpy()})["y"]
    # The input itself is rounded to half precision, which leaves 68 dB.
    assert (decibels(found, norm(x).numpy()) >= 50) is kept
