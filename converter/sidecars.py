"""Write the files that a model needs beside its packages: vocabulary, scheduler, and a description of how they belong together."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.sizes import Sizes
from converter.source import Source
from converter.workplace import write_text
from sdrt.errors import ConversionError, ModelError
from sdrt.files import read_text
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.coreml.sidecar import FORMAT, SIDECAR
from sdrt.models.coreml.traced_values import TracedValue, store_traced_values
from sdrt.models.json_file import read_json
from sdrt.printable import shown
from sdrt.tokenizer import ClipTokenizer
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary
from sdrt.tokenizer.files import read_settings
from sdrt.tokenizer.special_tokens import SpecialTokens
from sdrt.values import Anything, Integer, Kind, ListOf, MappingOf, Number, Text, read_values

__all__ = ["check_folder", "write_sidecars"]


_OBJECTS = MappingOf(MappingOf(Anything()))

# What an earlier conversion wrote under "coreml" in ``sdrt.json``, and a later one keeps.
_EARLIER: Mapping[str, Kind[Any]] = {
    "name": Text(),
    "configs": _OBJECTS,
    "controlnets": _OBJECTS,
    "traces": _OBJECTS,
    "sizes": ListOf(ListOf(Integer(minimum=1), 2, 2)),
    "scaling_factor": Number(),
    "shift_factor": Number(),
}


def check_folder(out: Path, source: Source) -> None:
    """Check, before anything is converted, that the files beside the packages can be written for this model.

    Raises
    ------
    ConversionError : ``sdrt.json`` belongs to another model, whose vocabulary and scheduler apply to all packages in the folder, or cannot
        be read; or the folder is that of a model in diffusers' layout
    ModelError : the model's tokenizer cannot be read
    """
    if (out / "model_index.json").exists():
        raise ConversionError(f"{out}: must be a folder for packages, got a model in diffusers' layout; choose another folder with -o")
    name = source.name
    existing = _read_earlier(out)[1].get("name", name)
    if existing != name:
        raise ConversionError(
            f"{out}: must hold the packages of {shown(name)} alone, got those of {shown(existing)}; choose another folder with -o"
        )
    _vocabulary(source)
    _pad_tokens(source)


def write_sidecars(
    out: Path,
    source: Source,
    sizes: Sizes,
    *,
    converted: Sequence[ComponentName],
    refiner: Source | None,
    controlnets: Mapping[str, Source],
    traces: Mapping[str, Mapping[str, TracedValue]],
) -> None:
    """Write ``vocab.json``, ``merges.txt``, ``scheduler_config.json`` and ``sdrt.json``, which keeps entries of earlier conversions.

    Parameters
    ----------
    out : Path
    source : Source
    sizes : Sizes
    converted : sequence of ComponentName
        What this conversion made: its configurations replace those of an earlier one.
    refiner : Source or None
    controlnets : mapping of file stem to Source
    traces : mapping of role, or of a ControlNet's file stem, to the values of a package
        By module path, of the packages that this conversion made.
    """
    vocab, merges = _vocabulary(source)
    write_text(out / "vocab.json", vocab)
    write_text(out / "merges.txt", merges)
    write_text(out / "scheduler_config.json", json.dumps(dict(source.model.scheduler_config), indent=2))
    earlier, described = _read_earlier(out)
    ours = _description(source, sizes)
    if refiner is not None:
        ours["configs"]["refiner"] = dict(refiner.config("unet"))
    ours["controlnets"] = {stem: dict(each.config("controlnet")) for stem, each in controlnets.items()}
    ours["traces"] = {key: store_traced_values(values) for key, values in traces.items()}
    whole = {**_preferences(source, sizes), "coreml": _merge(ours, described, converted)}
    if "unet" not in converted:
        whole |= earlier
    write_text(out / SIDECAR, json.dumps(whole, indent=2))


def _description(source: Source, sizes: Sizes) -> dict[str, Any]:
    model = source.model
    vae, scheduler = source.config("vae_decoder"), model.scheduler_config
    return {
        "format": FORMAT,
        "name": source.name,
        "source": {"model": source.name, "revision": source.revision},
        "configs": {component: dict(source.config(component)) for component in model.components},
        "flags": dataclasses.asdict(model.flags),
        "pad_tokens": _pad_tokens(source),
        "feature_extractor": dict(model.feature_extractor_config),
        "scaling_factor": vae["scaling_factor"],
        "shift_factor": vae["shift_factor"] or 0.0,
        "prediction_type": scheduler.get("prediction_type", "epsilon"),
        "sizes": [list(size) for size in sizes.pictures],
    }


def _merge(ours: dict[str, Any], earlier: Mapping[str, Any], converted: Sequence[ComponentName]) -> dict[str, Any]:
    """Merge with an earlier conversion, whose entries stay for the components that this one did not make."""
    kept = {component: config for component, config in earlier.get("configs", {}).items() if component not in converted}
    if "refiner" in ours["configs"]:
        kept.pop("refiner", None)
    merged = {**ours, "configs": {**ours["configs"], **kept}, "controlnets": {**earlier.get("controlnets", {}), **ours["controlnets"]}}
    merged["traces"] = {**earlier.get("traces", {}), **ours["traces"]}
    if earlier and "unet" not in converted:
        merged["sizes"] = earlier.get("sizes", ours["sizes"])
    if earlier and "vae_decoder" not in converted:
        merged |= {key: earlier[key] for key in ("scaling_factor", "shift_factor") if key in earlier}
    return merged


def _preferences(source: Source, sizes: Sizes) -> dict[str, Any]:
    """Return the model's own defaults, with a different size if the packages do not accept its own."""
    preferences = dict(source.model.defaults)
    height, width = sizes.pictures[0]
    if (preferences.get("height", height), preferences.get("width", width)) not in sizes.pictures:
        preferences |= {"height": height, "width": width}
    return preferences


def _vocabulary(source: Source) -> tuple[str, str]:
    """Return ``vocab.json`` and ``merges.txt``: the model's own files, else the content of its ``tokenizer.json``, else CLIP's."""
    folder = source.model.tokenizer_path or source.model.tokenizer_2_path
    if folder is None:
        clip = ClipVocabulary()
        ids = {token: number for number, token in clip.tokens.items()}
        return json.dumps(ids, ensure_ascii=False), _merge_lines(clip.merge_tokens)
    ClipTokenizer.load(folder)  # names what is wrong with the files, before they become the packages'
    vocab, merges = folder / "vocab.json", next((file for each in ("merges.txt", "merges.text") if (file := folder / each).is_file()), None)
    if vocab.is_file() and merges is not None:
        text = read_text(merges)
        # Apple's Swift package loses a last line that has no end.
        return read_text(vocab), text if text.endswith("\n") else f"{text}\n"
    model = read_json(folder / "tokenizer.json")["model"]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return json.dumps(model["vocab"], ensure_ascii=False), _merge_lines(pairs)


def _merge_lines(pairs: Sequence[Sequence[str]]) -> str:
    return "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in pairs)


def _pad_tokens(source: Source) -> dict[ComponentName, str]:
    model = source.model
    folders: dict[ComponentName, Path | None] = {"text_encoder": model.tokenizer_path, "text_encoder_2": model.tokenizer_2_path}
    read = {
        component: SpecialTokens.from_json(*read_settings(folder)).pad_token for component, folder in folders.items() if folder is not None
    }
    tokens = {**model.pad_tokens, **read}
    return {component: tokens[component] for component in COMPONENTS if component in tokens and component in model.components}


def _read_earlier(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the preferences in an earlier conversion's ``sdrt.json``, and its description of the packages; empty without one."""
    file = out / SIDECAR
    repair = "correct the value, or remove the file, and every component is described again"
    try:
        content = read_json(file) if file.is_file() else {}
    except ModelError as error:
        raise ConversionError(f"{error}; or remove it, and every component is described again") from error
    described = MappingOf(Anything()).check(f"{file}: coreml", content.pop("coreml", {}), repair, ConversionError)
    return content, {**described, **read_values(f"{file}: coreml.", described, _EARLIER, repair, ConversionError)}
