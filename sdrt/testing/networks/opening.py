"""How a backend opens networks: its options, layers that are left out, and weights that do not fit."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sdrt.backends import BackendOptions, ComponentOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.errors import ConfigError, ModelError
from sdrt.freeu import FreeU
from sdrt.models import ComponentName, open_model
from sdrt.models.components.self_attentions import self_attentions
from sdrt.testing.fault import Fault
from sdrt.testing.networks.judge import Judge, largest_error
from sdrt.testing.networks.subject import Subject
from sdrt.testing.networks.trials import PLAIN

__all__ = ["OPENING"]

# A tensor of each component, by its canonical name.
_VICTIMS: Mapping[ComponentName, str] = {
    "unet": "mid_block.resnets.0.conv1.weight",
    "controlnet": "controlnet_cond_embedding.conv_in.weight",
    "vae_decoder": "decoder.mid_block.resnets.1.conv2.weight",
    "vae_encoder": "encoder.mid_block.resnets.1.conv2.weight",
    "text_encoder": "encoder.layers.1.mlp.fc2.bias",
    "text_encoder_2": "text_projection.weight",
    "safety_checker": "concept_embeds",
}


def _options(subject: Subject) -> Iterator[Fault]:
    """Open it with one thread, and with little memory: numbers stay within the bound."""
    inputs = subject.bench.inputs(replace(PLAIN, rows=2))
    wanted = subject.bench.judge.run(inputs)
    for name, network in (("threads=1", subject.reopened(threads=1)), ("low_memory=True", subject.reopened(low_memory=True))):
        error = largest_error(network(**subject.bench.examinee.cast(inputs)), wanted)
        network.close()
        if error > _bound(subject):
            yield Fault("options_change_results", f"{subject}: opened with {name} it is off by {error:.2g} of the largest value")


def _clip_skip(subject: Subject) -> Iterator[Fault]:
    """Leave out one layer and two, where the backend says that it can; the pooled state is that of the last layer always."""
    if "clip_skip" not in subject.backend.component_options or not subject.case.component.startswith("text"):
        return
    for layers in (1, 2):
        error = _error_with(subject, ComponentOptions(clip_skip=layers))
        if error > _bound(subject):
            yield Fault("clip_skip_wrong", f"{subject}: with clip_skip={layers} it is off by {error:.2g} of the largest value")
            return


def _unet_options(subject: Subject) -> Iterator[Fault]:
    """Scale by FreeU, and perturb a self-attention, where the backend says that it can.

    Tokens are not merged: in fewer bits than float32, others may be the most alike.
    """
    if subject.case.component != "unet":
        return
    perturbed = self_attentions(subject.model.config("unet"))[:1]
    # diffusers' filter, which the torch backend has, rounds to float32 in any case
    chosen = {"freeu": (FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2), 1e-5), "identity_attention": (perturbed, 0.0)}
    for name, (value, bound) in chosen.items():
        if name not in subject.backend.component_options:
            continue
        error = _error_with(subject, ComponentOptions(**{name: value}))  # type: ignore[arg-type]
        if error > max(_bound(subject), bound):
            yield Fault("component_option_wrong", f"{subject}: with {name} it is off by {error:.2g} of the largest value")


def _error_with(subject: Subject, options: ComponentOptions) -> float:
    """Return the largest error of the component opened with these options."""
    inputs = subject.bench.inputs(replace(PLAIN, rows=2))
    judge = Judge(NumpyBackend().open(subject.case.component, subject.model, BackendOptions(numerics="float64"), options))
    network = subject.reopened(component_options=options)
    error = largest_error(network(**subject.bench.examinee.cast(inputs)), judge.run(inputs))
    network.close()
    judge.network.close()
    return error


def _bound(subject: Subject) -> float:
    return max(subject.bench.bound, 2.0 * subject.bench.error(replace(PLAIN, rows=2)))


def _weights(subject: Subject) -> Iterator[Fault]:
    """Spoil one tensor of a copied folder: the error names file and tensor."""
    from safetensors.numpy import load_file, save_file

    if subject.case.union:
        return
    victim = _VICTIMS[subject.case.component]
    with TemporaryDirectory() as scratch:
        file = _copied_weights(subject, Path(scratch))
        tensors = load_file(file)
        stored = next(name for name in tensors if name.removeprefix("text_model.") == victim)
        tensor = tensors[stored]
        for what, changed in (
            ("is missing", None),
            ("has another shape", np.concatenate([tensor, tensor])),
            ("holds a NaN", np.full_like(tensor, np.nan)),
        ):
            rest = {name: x for name, x in tensors.items() if name != stored}
            save_file(rest if changed is None else {**rest, stored: changed}, file)
            yield from _refused(subject, Path(scratch), f"{victim} {what}", (file.name, victim))


def _another_class(subject: Subject) -> Iterator[Fault]:
    """Name another class in a copied folder: it is another architecture, whatever its tensors are called."""
    if subject.case.union:
        return
    with TemporaryDirectory() as scratch:
        file = _copied_weights(subject, Path(scratch)).parent / "config.json"
        values = json.loads(file.read_text(encoding="utf-8")) | {"_class_name": "Flux", "architectures": ["Flux"]}
        file.write_text(json.dumps(values), encoding="utf-8")
        yield from _refused(subject, Path(scratch), "the class is Flux", ("Flux",))


def _copied_weights(subject: Subject, folder: Path) -> Path:
    """Copy the component, and make the other folders that a model has; return its weights."""
    name = subject.model.where(subject.case.component).parent.name
    for each in subject.model.path.iterdir():
        if each.is_dir():
            (folder / each.name).mkdir()
    shutil.copytree(subject.model.path / name, folder / name, dirs_exist_ok=True)
    return next((folder / name).glob("*.safetensors"))


def _refused(subject: Subject, folder: Path, what: str, words: tuple[str, ...]) -> Iterator[Fault]:
    try:
        network = subject.reopened(open_model(folder))
    except ModelError as error:
        if any(word not in str(error) for word in words):
            yield Fault("bad_weights_accepted", f"{subject}: {what}, and the error does not name {' and '.join(words)}: {error}")
        return
    except ConfigError:
        return
    network.close()
    yield Fault("bad_weights_accepted", f"{subject}: it opens although {what}; ModelError names file and tensor")


OPENING = (_options, _clip_skip, _unet_options, _weights, _another_class)
