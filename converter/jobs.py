"""Plan a conversion: one job for each package, with the options that its content depends on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from converter.options import QUERIES_AT_A_TIME, Attention, ConvertOptions
from converter.sizes import Sizes
from converter.source import Source, open_controlnet, open_refiner
from sdrt.errors import ConfigError
from sdrt.models.components import ComponentName
from sdrt.models.coreml.names import Role, file_stem

if TYPE_CHECKING:
    from converter.parts.traceable import TraceablePart

__all__ = ["DENOISERS", "Job", "Plan", "plan_jobs"]

DENOISERS: tuple[Role, ...] = ("unet", "control_unet", "refiner")
_COMPRESSED: tuple[Role, ...] = (*DENOISERS, "controlnet", "text_encoder", "text_encoder_2")
_WITH_ATTENTION: tuple[Role, ...] = (*DENOISERS, "controlnet")
# Systems that accept enumerated shapes, in the form written here, for no input, and for any number of inputs; others accept one such input.
_ONE_SIZE = ("macOS13", "iOS16")
_MANY_OPEN_INPUTS = ("macOS15", "iOS18")
# Raise this number when equal options produce a different network: packages made before then count as made with different options.
_CONVERTER = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """The conversion of one package.

    Parameters
    ----------
    role : Role
    component : ComponentName
        The component of the source that is converted.
    stem : str
        The package's file name without ``.mlpackage``.
    source, base : Source
        The component's source, and the model whose scheduler and autoencoder belong to it: another one for ControlNets and refiners.
    sizes : Sizes
    options : ConvertOptions
    build_options : mapping
        Every option that changes the output file; compared to detect stale packages.
    """

    role: Role
    component: ComponentName
    stem: str
    source: Source
    base: Source
    sizes: Sizes
    options: ConvertOptions
    build_options: Mapping[str, Any]

    @property
    def compressed(self) -> bool:
        """Whether compression applies to it; the autoencoder and the safety checker are small, and lose too much."""
        return self.options.compression is not None and self.role in _COMPRESSED

    @property
    def chunked(self) -> bool:
        """Whether it is cut in two."""
        return self.options.chunk and self.role in DENOISERS

    def rewritten(self) -> "TraceablePart":
        """Build the network as rewritten for Core ML."""
        return self._build(rewritten=True)

    def as_source(self) -> "TraceablePart":
        """Build the network as the source has it, the reference that a package is compared with."""
        return self._build(rewritten=False)

    def _build(self, *, rewritten: bool) -> "TraceablePart":
        # Torch, and the modules that import it, are only imported to build a network.
        match self.role:
            case "text_encoder" | "text_encoder_2":
                from converter.parts import text_encoder

                return text_encoder.build(self.source, self.role, self.options.precision)
            case "vae_decoder":
                from converter.parts import vae

                return vae.build_decoder(self.source, self.sizes, self.options.precision)
            case "vae_encoder":
                from converter.parts import vae

                return vae.build_encoder(self.source, self.sizes, self.options.precision)
            case "safety_checker":
                from converter.parts import safety_checker

                return safety_checker.build(self.source, self.sizes, self.options.precision)
            case "controlnet":
                from converter.parts import controlnet

                return controlnet.build(self.source, self.base, self.options, self.sizes, rewritten=rewritten)
            case "unet" | "control_unet" | "refiner":
                from converter.parts import unet

                return unet.build(self.source, self.options, self.sizes, self.role, rewritten=rewritten)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All jobs of a conversion.

    Parameters
    ----------
    jobs : tuple of Job
        In the order of their execution.
    controlnets : mapping of str to Source
        The ControlNets by the stem of their file.
    refiner : Source or None
    remarks : mapping of str to str
        A sentence on everything that was requested and is left out, by its topic.
    """

    jobs: tuple[Job, ...]
    controlnets: Mapping[str, Source]
    refiner: Source | None
    remarks: Mapping[str, str]


def plan_jobs(source: Source, sizes: Sizes, options: ConvertOptions) -> Plan:
    """Plan the packages that the options request.

    Raises
    ------
    ConfigError : nothing is requested, or a network that the model does not have
    SdrtError : a ControlNet or refiner cannot be opened
    """
    if not (options.parts or options.controlnets or options.refiner):
        raise ConfigError(
            "a conversion must be asked for a network, got none; pass parts, as --convert-unet --convert-text-encoder "
            "--convert-vae-decoder do"
        )
    remarks = {}
    parts = [part for part in options.parts if part != "safety_checker" or part in source.model.components]
    if len(parts) < len(options.parts):
        # Apple's own command lines request the checker of every model, and their converter leaves out a missing one
        remarks["no safety checker"] = f"{source.name} has no safety checker; none is converted"
        if not (parts or options.controlnets or options.refiner):
            raise ConfigError(f"a conversion must be asked for a network that the model has, got safety_checker: {source.name} has none")
    jobs = [_job(role, component, source, source, sizes, options) for role, component in _requested(source, parts, options)]
    controlnets = {}
    for name in options.controlnets:
        controlnet = open_controlnet(options, name)
        job = _job("controlnet", "controlnet", controlnet, source, sizes, options)
        controlnets[job.stem] = controlnet
        jobs.append(job)
    refiner = None
    if options.refiner is not None:
        refiner = open_refiner(options, options.refiner)
        jobs.append(_job("refiner", "unet", refiner, source, sizes, options))
    stems = [job.stem for job in jobs]
    if repeated := [stem for stem in stems if stems.count(stem) > 1]:
        raise ConfigError(f"each package must have a name of its own, got {repeated[0]}.mlpackage twice; convert one of them elsewhere")
    return Plan(jobs=tuple(jobs), controlnets=controlnets, refiner=refiner, remarks=remarks)


def _requested(source: Source, parts: Sequence[str], options: ConvertOptions) -> list[tuple[Role, ComponentName]]:
    roles: list[tuple[Role, ComponentName]] = []
    for part in parts:
        if part == "text_encoder":
            roles += [(each, each) for each in ("text_encoder", "text_encoder_2") if each in source.model.components]
        elif part not in source.model.components:
            raise ConfigError(f"parts of {source.name} must be among {', '.join(source.model.components)}, got {part}; leave it out")
        elif part == "unet":
            roles.append(("control_unet" if options.unet_support_controlnet else "unet", "unet"))
        else:
            roles += [(each, each) for each in ("vae_decoder", "vae_encoder", "safety_checker") if each == part]
    return roles


def _job(role: Role, component: ComponentName, source: Source, base: Source, sizes: Sizes, options: ConvertOptions) -> Job:
    _check(role, source.config(component), sizes, options)
    return Job(
        role=role,
        component=component,
        stem=file_stem(role, source.name if role == "controlnet" else base.name),
        source=source,
        base=base,
        sizes=sizes,
        options=options,
        build_options=_build_options(role, source.digest(component), sizes, options),
    )


def _check(role: Role, config: Mapping[str, Any], sizes: Sizes, options: ConvertOptions) -> None:
    """Refuse packages that Core ML cannot represent, before anything is converted."""
    if role in ("text_encoder", "text_encoder_2"):
        return
    count, target = len(sizes.latents), options.deployment_target
    if count > 1 and role == "safety_checker":
        raise ConfigError(f"a safety checker's package must be for one size of image, got {count}; convert it separately, for one size")
    if count > 1 and target in _ONE_SIZE:
        raise ConfigError(f"the deployment target of several sizes must be macOS14 or iOS17 or later, got {target}; choose one of those")
    if count > 1 and role in ("control_unet", "controlnet") and target not in _MANY_OPEN_INPUTS:
        raise ConfigError(f"the deployment target of a {role} of several sizes must be macOS15 or iOS18, got {target}; choose one of those")
    if count > 1 and options.attention is Attention.SPLIT_EINSUM_V2 and (queries := _most_queries(config, sizes)) > QUERIES_AT_A_TIME:
        raise ConfigError(
            f"the attention of a {role} of {count} sizes and up to {queries} queries must not be SPLIT_EINSUM_V2, which counts its runs of "
            f"{QUERIES_AT_A_TIME} queries at conversion; choose SPLIT_EINSUM, or one size"
        )
    width = config.get("cross_attention_dim")
    if role in _WITH_ATTENTION and options.text_encoder_hidden_size not in (None, width):
        raise ConfigError(
            f"text_encoder_hidden_size must be {width}, the width of text that the U-Net attends to, "
            f"got {options.text_encoder_hidden_size}; leave it out"
        )


def _most_queries(config: Mapping[str, Any], sizes: Sizes) -> int:
    """Return the number of pixels of the largest feature map with attention; 0 without attention."""
    levels = [level for level, kind in enumerate(config.get("down_block_types", ())) if str(kind).startswith("CrossAttn")]
    return max((height >> levels[0]) * (width >> levels[0]) for height, width in sizes.latents) if levels else 0


def _build_options(role: Role, source_digest: str, sizes: Sizes, options: ConvertOptions) -> dict[str, Any]:
    build_options: dict[str, Any] = {
        "role": role,
        "converter": _CONVERTER,
        "source": source_digest,
        "precision": options.precision,
        "float32_weights": options.float32_weights,
        "deployment_target": options.deployment_target,
        "compression": _as_json(options.compression) if role in _COMPRESSED else None,
    }
    if role not in ("text_encoder", "text_encoder_2"):
        build_options["latent_sizes"] = _as_json(sizes.latents)
    if role in _WITH_ATTENTION:
        build_options |= {
            "attention": str(options.attention),
            "batch": options.batch,
            "timestep_dtype": options.timestep_dtype,
            "text_token_sequence_length": options.text_token_sequence_length,
        }
    return build_options


def _as_json(value: Any) -> Any:
    """Return a value as JSON would restore it, so that it compares equal to a stored one."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__, **asdict(value)}
    return json.loads(json.dumps(value))
