"""Inner values of a network under diffusers' module paths.

A network is a tree of frozen modules. To look into it, the modules whose values are wanted are replaced by ones that compute the same and
record it, see `recording`; a network that nobody looks into holds no trace of all this.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from sdrt.arrays import Array
from sdrt.backends.numpy.autoencoder_tiny import Activation, TinyBlock, TinyConv, TinyDecoder, TinyEncoder, TinyUpsample
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.controlnet import ControlNet, HintEmbedding
from sdrt.backends.numpy.controlnet_union import ControlNetUnion
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.decoupled_attention import DecoupledAttention
from sdrt.backends.numpy.embeddings import AddedEmbedding, TimeEmbedding, Timesteps, TwoProducts
from sdrt.backends.numpy.identity_attention import IdentityAttention
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import GroupNorm, LayerNorm
from sdrt.backends.numpy.program import PerRow, Program
from sdrt.backends.numpy.recording import RECORDING, Taps, recording
from sdrt.backends.numpy.resnet import Downsample, Resnet, Upsample
from sdrt.backends.numpy.stage import Stage
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.text_encoder import TextEmbeddings, TextEncoder
from sdrt.backends.numpy.transformer import CrossAttention, FeedForward, SelfAttention, Transformer2D, TransformerBlock
from sdrt.backends.numpy.trunk import Trunk
from sdrt.backends.numpy.unet import UNet
from sdrt.backends.numpy.vae import Level, MidBlock, PixelAttention, VaeDecoder, VaeEncoder

__all__ = ["trace", "trace_inputs", "trace_names"]

# Where the module of a field stands below its owner in diffusers, if not under the field's own name: several paths for products that are
# joined here, the owner's own where there is none, and from the root after a slash.
_PLACES: Mapping[type, Mapping[str, str]] = {
    AddedEmbedding: {"add_time_proj": "/add_time_proj", "products": ""},
    ClipLayer: {
        "to_qkv": "self_attn.q_proj,self_attn.k_proj,self_attn.v_proj",
        "out_proj": "self_attn.out_proj",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
    },
    ControlNet: {"trunk": "", "hint_embedding": "controlnet_cond_embedding"},
    ControlNetUnion: {"controlnet": ""},
    CrossAttention: {"to_kv": "to_k,to_v", "to_out": "to_out.0"},
    DecoupledAttention: {"to_kv": "to_k,to_v", "to_out": "to_out.0", "to_kv_ip": "processor.to_k_ip,processor.to_v_ip"},
    FeedForward: {"proj": "net.0.proj", "out": "net.2"},
    IdentityAttention: {"to_out": "to_out.0"},
    Level: {"downsampler": "downsamplers.0", "upsampler": "upsamplers.0"},
    MidBlock: {"attention": "attentions.0"},
    PixelAttention: {"attention": ""},
    SelfAttention: {"to_qkv": "to_q,to_k,to_v", "to_out": "to_out.0"},
    Stage: {"downsampler": "downsamplers.0", "upsampler": "upsamplers.0"},
    TextEncoder: {
        "embeddings": "text_model.embeddings",
        "layers": "text_model.encoder.layers",
        "final_layer_norm": "text_model.final_layer_norm",
    },
    TinyBlock: {"first": "conv.0", "second": "conv.2", "third": "conv.4"},
    TinyConv: {"conv": ""},
    TinyDecoder: {"layers": "decoder.layers"},
    TinyEncoder: {"layers": "encoder.layers"},
    TimeEmbedding: {"time_proj": "/time_proj", "products": ""},
    UNet: {"trunk": ""},
    VaeDecoder: {name: f"decoder.{name}" for name in ("conv_in", "mid_block", "up_blocks", "conv_norm_out", "conv_out")},
    VaeEncoder: {name: f"encoder.{name}" for name in ("conv_in", "down_blocks", "mid_block", "conv_norm_out", "conv_out")},
}
_MODULES = (
    *_PLACES,
    *(Activation, TinyUpsample),
    *(Downsample, HintEmbedding, Resnet, Transformer2D, TransformerBlock, Trunk, TwoProducts, Upsample),
    *(Conv3x3, GroupNorm, LayerNorm, Linear, TextEmbeddings, Timesteps),
)


def trace_names(program: Program) -> tuple[str, ...]:
    """List the module paths whose values `trace` gives, those of inner modules before their owner's."""
    return tuple(_sources(program))


def trace_inputs(program: Program) -> tuple[str, ...]:
    """List the module paths whose input `trace` gives under the path and ``.input``."""
    paths: list[str] = []

    def visit(path: str, node: Any) -> Any:
        if isinstance(node, Conv3x3 | GroupNorm | LayerNorm | Linear):
            paths.extend(path.split(","))
        elif isinstance(node, Downsample) and not node.before:
            # the peer pads in front of this convolution
            paths.remove(f"{path}.conv")
        return node

    _rebuilt(_whole(program), "", visit)
    return tuple(paths)


def trace(
    program: Program, team: ThreadTeam, inputs: Mapping[str, Array], names: Collection[str], substitutes: Mapping[str, Array]
) -> dict[str, Array]:
    """Run a program once for the values of these modules.

    Parameters
    ----------
    names : collection of str
        Of those that `trace_names` lists, and of `trace_inputs` with ``.input``.
    substitutes : mapping of arrays
        By names of `trace_names`: what those modules pass on in place of their value.

    Returns
    -------
    dict of arrays of their own, in the order in which they are made: float[n, C, h, w] of pictures, float[n, L, D] of sequences

    Raises
    ------
    ArrayContractError : a substitute of another shape than the value
    """
    sources, wanted = _sources(program), dict[str, list[str]]()
    for name in names:
        wanted.setdefault(sources.get(name, name), []).append(name)
    # of a module and its owner, whose value is the same, the module's own
    own = {name: x for name, x in substitutes.items() if sources[name] == name}
    taps = Taps(wanted, {sources[name]: x for name, x in substitutes.items()} | own)
    traced: Program = _rebuilt(_whole(program), "", lambda path, node: recording(node, path, taps))
    traced.run(team, inputs)
    return taps.values


def _whole(program: Program) -> Program:
    """Return what a program does with all rows at once: a trace holds their values together in any case."""
    return program.program if isinstance(program, PerRow) else program


def _sources(program: Program) -> dict[str, str]:
    """Map every name to the path of the module that records its value: itself, or the last of those inside it."""
    sources: dict[str, str] = {}

    def visit(path: str, node: Any) -> Any:
        if isinstance(node, FeedForward):
            sources[f"{path}.net.0"] = f"{path}.net.0"
        elif type(node) in RECORDING:
            sources.update({each: each for each in path.split(",")})
        sources.update({owner: sources[inner] for owner, inner in _ends(path, node)})
        return node

    _rebuilt(_whole(program), "", visit)
    return sources


def _ends(path: str, node: Any) -> Iterator[tuple[str, str]]:
    """Name owners whose value is that of a module inside, and this module."""
    match node:
        case SelfAttention() | CrossAttention() | IdentityAttention():
            yield path, f"{path}.to_out.0"
        case FeedForward():
            yield path, f"{path}.net.2"
        case TwoProducts():
            yield path, f"{path}.linear_2"
        case HintEmbedding():
            yield path, f"{path}.conv_out"
        case Downsample() | Upsample():
            yield path, f"{path}.conv"
        case MidBlock():
            yield path, f"{path}.resnets.1"
        case Stage() | Level() if node.resnets:
            yield path, f"{path}.{_last(node)}"
        case ClipLayer():
            yield f"{path}.self_attn", f"{path}.self_attn.out_proj"
            yield f"{path}.mlp", f"{path}.mlp.fc2"
        case TextEncoder():
            yield "text_model.encoder", f"text_model.encoder.layers.{len(node.layers) - 1}"
            yield "text_model", "text_model.final_layer_norm"
        case VaeDecoder():
            yield "decoder", "decoder.conv_out"
        case VaeEncoder():
            yield "encoder", "encoder.conv_out"


def _last(node: Stage | Level) -> str:
    if node.downsampler is not None:
        return "downsamplers.0"
    if node.upsampler is not None:
        return "upsamplers.0"
    last = len(node.resnets) - 1
    return f"attentions.{last}" if isinstance(node, Stage) and len(node.attentions) > last else f"resnets.{last}"


def _rebuilt(node: Any, path: str, visit: Callable[[str, Any], Any]) -> Any:
    """Visit a module and all inside it, the inner ones first; the same object where no visit returned another."""
    changes: dict[str, Any] = {}
    for field in fields(node):
        value, place = getattr(node, field.name), _PLACES.get(type(node), {}).get(field.name, field.name)
        below = ",".join(_joined(path, each) for each in place.split(","))
        if isinstance(value, _MODULES):
            new: Any = _rebuilt(value, below, visit)
        elif isinstance(value, tuple) and value and isinstance(value[0], _MODULES):
            numbered = [",".join(f"{each}.{index}" for each in below.split(",")) for index in range(len(value))]
            new = tuple(_rebuilt(each, own, visit) for each, own in zip(value, numbered, strict=True))
            new = value if all(one is other for one, other in zip(new, value, strict=True)) else new
        else:
            continue
        if new is not value:
            changes[field.name] = new
    return visit(path, replace(node, **changes) if changes else node)


def _joined(path: str, place: str) -> str:
    return place[1:] if place.startswith("/") else ".".join(filter(None, (path, place)))
