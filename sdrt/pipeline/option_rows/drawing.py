"""The picture, and how it is sampled."""

from sdrt.pipeline.option_rows.row import option

__all__ = ["ROWS"]

_PICTURE = "picture"
_SAMPLING = "sampling and noise"

ROWS = (
    option(
        "seed",
        "integers",
        _PICTURE,
        "image k is drawn from seed + k; 1,5,9 is one for each image (default, as -1: a random one, which the file's name shows)",
    ),
    option("subseed", "integer", _PICTURE, "seed of the noise that --subseed-strength mixes in; image k has subseed + k (default: random)"),
    option(
        "subseed_strength",
        "number",
        _PICTURE,
        "0 to 1: the share of the subseed's noise; all images then have one seed (default: 0, no variation)",
    ),
    option("seed_resize_from", "pair", _PICTURE, "resemble the picture that the seed gives at this size (default: the picture's own)"),
    option("num_images", "integer", _PICTURE, "images of each prompt (default: 1)", "-n", "--num-images"),
    option("height", "integer", _PICTURE, "pixels (default: those of --image, else the model's own)", "-H", "--height"),
    option("width", "integer", _PICTURE, "pixels (default: those of --image, else the model's own)", "-W", "--width"),
    option(
        "num_inference_steps",
        "integer",
        _SAMPLING,
        "denoising steps (default: the model's own, else 50)",
        "--steps",
        "--num-inference-steps",
    ),
    option(
        "guidance_scale",
        "number",
        _SAMPLING,
        "strength of the prompt; 1 or less turns guidance off (default: the model's own, else 7.5)",
        "--guidance-scale",
        "--cfg-scale",
    ),
    option(
        "guidance_rescale",
        "number",
        _SAMPLING,
        "0 to 1: restore the contrast that strong guidance exaggerates (default: 0, which does not)",
    ),
    option(
        "guidance_batching",
        "choice",
        _SAMPLING,
        "run the U-Net on all rows at once, or one by one in less memory (default: batched)",
        choices=("batched", "sequential"),
    ),
    option("scheduler", "name", _SAMPLING, "a name that 'sdrt schedulers' lists (default: the model's own)", record="scheduler_config"),
    option("eta", "number", _SAMPLING, "amount of fresh noise a step, for ddim, tcd and ancestral samplers (default: the scheduler's own)"),
    option("rng", "name", _SAMPLING, "noise stream: torch, torch-scalar, nv, numpy, generator or libstdc++ (default: torch)"),
    option("sampler_rng", "name", _SAMPLING, "a separate noise stream for the scheduler (default: the image's own)"),
    option("sampler_seed", "integer", _SAMPLING, "seed of the scheduler's noise stream (default: the image's)"),
    option(
        "compat",
        "choice",
        _SAMPLING,
        "reproduce the known bugs of this implementation (default: none)",
        choices=("diffusers", "apple"),
    ),
    option("latents", "array", _SAMPLING, "a .npy file of noise to start from (default: that of the seed)", record="conditions.latents"),
    option(
        "record_paths",
        "switch",
        _PICTURE,
        "note the paths of given pictures in the record, so that --from finds them (default: no)",
        record="conditions.record_paths",
    ),
)
