"""What sdrt would record of a call of a diffusers pipeline: the settings, and the pipeline that draws the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError, SdrtError
from sdrt.pipeline.loading import load
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.recorded import describe_pipeline
from sdrt.records.settings import Settings
from sdrt.rng import stream

__all__ = ["Counterpart"]

# Arguments that have the same name and meaning.
_SAME = (
    "height",
    "width",
    "num_inference_steps",
    "guidance_scale",
    "guidance_rescale",
    "strength",
    "mask_image",
    "clip_skip",
    "original_size",
    "crops_coords_top_left",
    "target_size",
    "controlnet_conditioning_scale",
    "control_guidance_start",
    "control_guidance_end",
    "guess_mode",
    "control_image",
)
# Those that sdrt has no word for; a call that uses one has no settings.
_OTHERS = ("prompt_embeds", "negative_prompt_embeds", "latents", "timesteps", "sigmas", "ip_adapter_image")
# Which other models ignore; to sdrt a refiner is not a model by itself.
_OF_REFINERS = ("aesthetic_score", "negative_aesthetic_score")


class Counterpart:
    """The pipeline of sdrt on the same folders.

    Parameters
    ----------
    pipeline : DiffusionPipeline
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.pipe: Pipeline | None = None
        self.problem = ""
        try:
            checked = getattr(pipeline, "safety_checker", None) is not None
            controlnets = [_folder(each) for each in _controlnets(pipeline)]
            self.pipe = load(_folder(pipeline), controlnet=controlnets, safety_checker=checked)
        except SdrtError as error:
            self.problem = str(error)

    def header(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return what a recording's header says of the pipeline, and its tokenizers' files; nothing where sdrt cannot open its folders."""
        if self.pipe is None:
            return {"without_model": self.problem}, {}
        about, files = describe_pipeline(self.pipe)
        about["backends"] = dict.fromkeys(about["backends"], "diffusers")
        return about, files

    def options(self, given: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Return prompt, negative prompt and options of `Pipeline.generate` that draw what a call of diffusers draws.

        Parameters
        ----------
        given : mapping
            The arguments of the call, defaults filled in.

        Raises
        ------
        ConfigError : it has an argument that sdrt has no option for, or no generator that it can follow
        """
        others = (*_OTHERS, *(_OF_REFINERS if self._pipeline.config.get("requires_aesthetics_score") else ()))
        if used := [name for name in others if given.get(name) is not None]:
            raise ConfigError(f"a call must have arguments that sdrt has, got {', '.join(used)}; leave them out")
        options = {name: given[name] for name in _SAME if given.get(name) is not None}
        if _controlnets(self._pipeline) and "control_image" not in given:
            options["control_image"] = given["image"]
        elif given.get("image") is not None:
            options["image"] = given["image"]
        if given.get("eta") and "eta" in _step_parameters(self._pipeline.scheduler):
            options["eta"] = given["eta"]
        each = int(given.get("num_images_per_prompt") or 1)
        prompt, negative = (_for_each_image(given.get(name), each) for name in ("prompt", "negative_prompt"))
        # to diffusers an empty text is none
        options |= {name: _for_each_image(given[name], each) for name in ("prompt_2", "negative_prompt_2") if given.get(name)}
        count = each * (len(given["prompt"]) if isinstance(given["prompt"], list) else 1)
        options |= {"num_images": count, "scheduler": self._pipeline.scheduler, "compat": "diffusers"}
        return prompt, negative or "", options | _noise(given.get("generator"), count)

    def settings(self, given: Mapping[str, Any]) -> Settings:
        """Return the settings of a call.

        Raises
        ------
        SdrtError : sdrt has no such call
        """
        if self.pipe is None:
            raise ConfigError(f"settings must be of a model that sdrt opens, got another ({self.problem}); load it from a folder")
        prompt, negative, options = self.options(given)
        settings = self.pipe.resolve(prompt, negative, **options)
        return Settings.from_dict(settings.to_dict() | {"backend": dict.fromkeys(settings.backend, "diffusers")})


def _folder(part: Any) -> Path:
    """Return the folder that a pipeline or a model was loaded from.

    Raises
    ------
    ConfigError : it was made in memory
    """
    name = dict(part.config).get("_name_or_path")
    if not isinstance(name, str | Path) or not str(name):
        raise ConfigError(f"a {type(part).__name__} must be loaded from a folder, got one made in memory; save and load it")
    return Path(name)


def _controlnets(pipeline: Any) -> list[Any]:
    controlnet = getattr(pipeline, "controlnet", None)
    return [] if controlnet is None else list(getattr(controlnet, "nets", [controlnet]))


def _step_parameters(scheduler: Any) -> Mapping[str, Any]:
    import inspect

    return inspect.signature(scheduler.step).parameters


def _for_each_image(text: Any, each: int) -> Any:
    return [one for one in text for _ in range(each)] if isinstance(text, list | tuple) else text


def _noise(generator: Any, count: int) -> dict[str, Any]:
    """Return the options that draw what a generator draws.

    Raises
    ------
    ConfigError : there is none, it has drawn before, or it is on a device
    """
    generators = list(generator) if isinstance(generator, list | tuple) else [generator]
    for each in generators:
        if each is None or str(each.device) != "cpu" or not _is_fresh(each):
            raise ConfigError("a generator must be on the CPU and fresh from manual_seed, got none, or another one; pass such a one")
    seeds = [each.initial_seed() for each in generators]
    if len(seeds) == count:
        return {"seed": seeds if count > 1 else seeds[0]}
    # one for all images
    return {"rng": stream("torch", seeds[0]).state}


def _is_fresh(generator: Any) -> bool:
    again = type(generator)().manual_seed(generator.initial_seed())
    return bool((again.get_state() == generator.get_state()).all())
