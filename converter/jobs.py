"""What a conversion has to make: one job a package, each with the options that its file depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from converter.metadata import plain
from converter.options import QUERIES_AT_A_TIME, Attention, ConvertOptions
from converter.sizes import Sizes
from converter.source import Source, open_controlnet, open_refiner
from sdrt.errors import ConfigError
from sdrt.models.components import ComponentName
from sdrt.models.coreml.names import Role, file_stem

if TYPE_CHECKING:
    from converter.parts import Part

__all__ = ["DENOISERS", "Job", "plan_jobs"]

DENOISERS: tuple[Role, ...] = ("unet", "control_unet", "refiner")
_COMPRESSED: tuple[Role, ...] = (*DENOISERS, "controlnet", "text_encoder", "text_encoder_2")
_WITH_ATTENTION: tuple[Role, ...] = (*DENOISERS, "controlnet")
# Systems whose runtime takes enumerated shapes as this converter writes them: none, of one input, of any.
_ONE_SIZE = ("macOS13", "iOS16")
_MANY_OPEN_INPUTS = ("macOS15", "iOS18")
# Another number makes every file that is there one of other options: for the day when the same options give another network.
_CONVERTER = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One package.

    Parameters
    ----------
    role : Role
    component : ComponentName
        What it is made of.
    stem : str
        Its file's, without ``.mlpackage``.
    source : Source
    asked : mapping
        Everything that another file would come of, were it otherwise.
    build : callable
        The network, rewritten for Core ML (True) or as the source has it.
    """

    role: Role
    component: ComponentName
    stem: str
    source: Source
    asked: Mapping[str, Any]
    build: "Callable[[bool], Part]"

    @property
    def compressed(self) -> bool:
        """Whether compression is for it: autoencoder and safety checker are small, and suffer."""
        return self.role in _COMPRESSED

    @property
    def chunked(self) -> bool:
        """Whether cutting in two is for it."""
        return self.role in DENOISERS


def plan_jobs(source: Source, sizes: Sizes, options: ConvertOptions) -> tuple[tuple[Job, ...], Mapping[str, Source], Source | None]:
    """The jobs in the order in which they are done, ControlNets by the stem of their file, and the refiner.

    Raises
    ------
    ConfigError : a part is asked for that the model has not, or nothing is
    SdrtError : a ControlNet or refiner cannot be opened
    """
    if not (options.parts or options.controlnets or options.refiner):
        raise ConfigError("nothing is asked for; pass parts, as --convert-unet --convert-text-encoder --convert-vae-decoder do")
    make = partial(_job, base=source, sizes=sizes, options=options)
    jobs = []
    for role, component in _wanted(source, options):
        jobs.append(make(role, component, source))
    controlnets = {}
    for name in options.controlnets:
        opened = open_controlnet(options, name)
        job = make("controlnet", "controlnet", opened)
        controlnets[job.stem] = opened
        jobs.append(job)
    refiner = None
    if options.refiner is not None:
        refiner = open_refiner(options, options.refiner)
        jobs.append(make("refiner", "unet", refiner))
    return tuple(jobs), controlnets, refiner


def _wanted(source: Source, options: ConvertOptions) -> list[tuple[Role, ComponentName]]:
    roles: list[tuple[Role, ComponentName]] = []
    for part in options.parts:
        if part == "text_encoder":
            roles += [(each, each) for each in ("text_encoder", "text_encoder_2") if each in source.model.components]
        elif part not in source.model.components:
            raise ConfigError(f"{source.name}: has no {part} (it has {', '.join(source.model.components)}); do not ask for one")
        elif part == "unet":
            roles.append(("control_unet" if options.unet_support_controlnet else "unet", "unet"))
        else:
            roles += [(each, each) for each in ("vae_decoder", "vae_encoder", "safety_checker") if each == part]
    return roles


def _job(role: Role, component: ComponentName, source: Source, *, base: Source, sizes: Sizes, options: ConvertOptions) -> Job:
    _check(role, source.config(component), sizes, options)
    return Job(
        role=role,
        component=component,
        stem=file_stem(role, source.name if role == "controlnet" else base.name),
        source=source,
        asked=_asked(role, component, source, sizes, options),
        build=partial(_build, role, source, base, options, sizes),
    )


def _check(role: Role, config: Mapping[str, Any], sizes: Sizes, options: ConvertOptions) -> None:
    """Refuse, before anything is converted, what a package cannot be."""
    if role in ("text_encoder", "text_encoder_2"):
        return
    count, target = len(sizes.latents), options.deployment_target
    if count > 1 and role == "safety_checker":
        raise ConfigError(f"a safety checker's package takes pictures of one size; got {count}: convert it by itself, for one")
    if count > 1 and target in _ONE_SIZE:
        raise ConfigError(f"several sizes need a deployment target of macOS14 or iOS17; got {target}")
    if count > 1 and role in ("control_unet", "controlnet") and target not in _MANY_OPEN_INPUTS:
        raise ConfigError(f"several inputs of several sizes, as a {role} has them, need macOS15 or iOS18; got {target}")
    if count > 1 and options.attention is Attention.SPLIT_EINSUM_V2 and (queries := _most_queries(config, sizes)) > QUERIES_AT_A_TIME:
        raise ConfigError(
            f"SPLIT_EINSUM_V2 counts its runs of {QUERIES_AT_A_TIME} queries when it is converted, so a {role} of up to {queries} takes "
            f"one size; got {count}: take SPLIT_EINSUM"
        )
    width = config.get("cross_attention_dim")
    if role in _WITH_ATTENTION and options.text_encoder_hidden_size not in (None, width):
        raise ConfigError(
            f"the U-Net attends to text that is {width} wide; got text_encoder_hidden_size {options.text_encoder_hidden_size}"
        )


def _most_queries(config: Mapping[str, Any], sizes: Sizes) -> int:
    """Pixels of the largest picture that a denoiser attends to; 0 of what is none."""
    levels = [level for level, kind in enumerate(config.get("down_block_types", ())) if str(kind).startswith("CrossAttn")]
    return max((height >> levels[0]) * (width >> levels[0]) for height, width in sizes.latents) if levels else 0


def _asked(role: Role, component: ComponentName, source: Source, sizes: Sizes, options: ConvertOptions) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "role": role,
        "converter": _CONVERTER,
        "source": source.digest(component),
        "precision": options.precision,
        "float32_weights": options.float32_weights,
        "deployment_target": options.deployment_target,
        "compression": plain(options.compression) if role in _COMPRESSED else None,
    }
    if role not in ("text_encoder", "text_encoder_2"):
        asked["latent_sizes"] = plain(sizes.latents)
    if role in _WITH_ATTENTION:
        asked |= {
            "attention": str(options.attention),
            "batch": options.batch,
            "timestep_dtype": options.timestep_dtype,
            "text_token_sequence_length": options.text_token_sequence_length,
        }
    return asked


def _build(role: Role, source: Source, base: Source, options: ConvertOptions, sizes: Sizes, rewritten: bool) -> "Part":
    # torch and what stands on it are imported for a part that is really made
    match role:
        case "text_encoder" | "text_encoder_2":
            from converter.parts import text_encoder

            return text_encoder.build(source, options, role)
        case "vae_decoder":
            from converter.parts import vae_decoder

            return vae_decoder.build(source, options, sizes)
        case "vae_encoder":
            from converter.parts import vae_encoder

            return vae_encoder.build(source, options, sizes)
        case "safety_checker":
            from converter.parts import safety_checker

            return safety_checker.build(source, options, sizes)
        case "controlnet":
            from converter.parts import controlnet

            return controlnet.build(source, base, options, sizes, rewritten=rewritten)
        case "unet" | "control_unet" | "refiner":
            from converter.parts import unet

            return unet.build(source, options, sizes, role, rewritten=rewritten)
