"""Pictures that a run follows: of ControlNets, T2I-Adapters and IP-Adapters."""

from sdrt.pipeline.option_rows.row import option

__all__ = ["ROWS"]

_CONTROL = "ControlNet"
_ADAPTER = "T2I-Adapter"
_LOOK = "IP-Adapter"

ROWS = (
    option(
        "control_image",
        "pictures",
        _CONTROL,
        "a picture to follow; give one for each --controlnet, in their order",
        record="conditions.control_image",
    ),
    option(
        "controlnet_conditioning_scale",
        "numbers",
        _CONTROL,
        "strength of the ControlNets: one number for all, or the flag again for each (default: 1)",
        "--controlnet-scale",
        "--controlnet-conditioning-scale",
        record="conditions.controlnet_conditioning_scale",
    ),
    option(
        "control_guidance_start",
        "numbers",
        _CONTROL,
        "fraction of the run at which they start to act; one number, or one for each (default: 0)",
        record="conditions.control_guidance_start",
    ),
    option(
        "control_guidance_end",
        "numbers",
        _CONTROL,
        "fraction of the run at which they stop; one number, or one for each (default: 1)",
        record="conditions.control_guidance_end",
    ),
    option(
        "control_mode",
        "choices",
        _CONTROL,
        "what leads where prompt and picture disagree; one for all, or the flag again for each (default: balanced)",
        record="conditions.control_mode",
        choices=("balanced", "prompt", "control"),
    ),
    option(
        "guess_mode",
        "switch",
        _CONTROL,
        "let ControlNets act on the prediction with the prompt alone, as diffusers does (default: no)",
        record="conditions.guess_mode",
    ),
    option(
        "control_type",
        "names",
        _CONTROL,
        "what a picture shows, for a union ControlNet: openpose, depth, scribble, canny, normal, segment, tile, repaint, or its number",
        record="conditions.control_type",
    ),
    option(
        "control_preprocessor",
        "choices",
        _CONTROL,
        "what to make of a picture first; one for all, or the flag again for each (default: none)",
        record="conditions.control_preprocessor",
        choices=("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert", "inpaint"),
    ),
    option(
        "adapter_image",
        "pictures",
        _ADAPTER,
        "a picture to follow; give one for each --t2i-adapter, in their order, or so many for each",
        record="conditions.adapter_image",
    ),
    option(
        "adapter_conditioning_scale",
        "numbers",
        _ADAPTER,
        "strength of the T2I-Adapters: one number for all, or the flag again for each (default: 1)",
        "--adapter-scale",
        "--adapter-conditioning-scale",
        record="conditions.adapter_conditioning_scale",
    ),
    option(
        "adapter_conditioning_factor",
        "numbers",
        _ADAPTER,
        "share of the run, from its beginning, in which they act; one number, or one for each (default: 1)",
        "--adapter-factor",
        "--adapter-conditioning-factor",
        record="conditions.adapter_conditioning_factor",
    ),
    option(
        "adapter_preprocessor",
        "choices",
        _ADAPTER,
        "what to make of a picture first; one for all, or the flag again for each (default: none)",
        record="conditions.adapter_preprocessor",
        choices=("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert"),
    ),
    option(
        "ip_adapter_image",
        "pictures",
        _LOOK,
        "a picture that the --ip-adapter looks at; give it again for more, or for each of several adapters, in their order",
        record="conditions.ip_adapter_image",
    ),
    option(
        "ip_adapter_image_embeds",
        "arrays",
        _LOOK,
        "a .npy file of what the image encoder gave in place of the pictures; one for each adapter",
        record="conditions.ip_adapter_image_embeds",
    ),
    option(
        "ip_adapter_scale",
        "numbers",
        _LOOK,
        "how much the pictures count: one number for all adapters, or the flag again for each (default: 1)",
        record="conditions.ip_adapter_scale",
    ),
    option(
        "ip_adapter_mask",
        "pictures",
        _LOOK,
        "where they count, white in a picture: one for each picture, or for each of several adapters",
        record="conditions.ip_adapter_mask",
    ),
)
