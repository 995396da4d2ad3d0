"""The networks of a pipeline by the names that a recording has for them, and calls of them with recorded inputs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np

from sdrt.arrays import Array
from sdrt.backends import PLAIN, ComponentOptions
from sdrt.backends.pool import CheckedNetwork
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.models import ComponentName
from sdrt.pipeline.resolve import Resolved
from sdrt.recordings import Event

__all__ = ["as_taken", "fitting", "opened", "outputs_of"]


@contextmanager
def opened(resolved: Resolved, event: Event, side: str) -> Iterator[CheckedNetwork]:
    """Keep the network open that a recorded call was made of.

    Parameters
    ----------
    resolved : Resolved
        The call that it was made in, as that side understands it.
    event : Event
    side : str
        For the message.

    Raises
    ------
    ConfigError : the pipeline has no such network
    """
    component, assembly = str(event.component), resolved.assembly
    base, _, number = component.removeprefix("refiner.").partition(".")
    several = assembly.t2i_adapters if base == "t2i_adapter" else assembly.controlnets
    if assembly.image_prompter is not None:
        image_prompting = {name: pool for name, pool, _ in assembly.image_prompter.networks}
        if component in image_prompting:
            with image_prompting[component].using(cast("ComponentName", base), PLAIN) as network:
                yield network
            return
    pools = [several[int(number)]] if number.isdecimal() and int(number) < len(several) else []
    perturbed = number == "perturbed"
    if not number or perturbed:
        model = assembly.refiner if component.startswith("refiner.") else assembly.base
        pools = [] if model is None or base not in model.model.components else [model.networks]
    if not pools:
        raise ConfigError(f"{side}: must have the {component} that the other side calls, got none; take models of one family")
    with pools[0].using(cast("ComponentName", base), _options(resolved, event, base, perturbed=perturbed)) as network:
        yield network


def _options(resolved: Resolved, event: Event, base: str, *, perturbed: bool) -> ComponentOptions:
    """Return the options of the network that a call was made of."""
    if base == "unet":
        of_unet = resolved.unet_options_of(refines=str(event.component).startswith("refiner."))
        return of_unet.perturbed if perturbed else of_unet.every
    return ComponentOptions(clip_skip=event.values.get("clip_skip", 0))


def fitting(network: CheckedNetwork, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs that a network takes, its floats in the dtype of its seam."""
    specs = {spec.name: np.dtype(spec.dtype) for spec in (*network.signature.inputs, *network.signature.optional)}
    return {name: x.astype(specs[name], copy=False) for name, x in inputs.items() if name in specs}


def as_taken(inputs: Mapping[str, Array], *networks: CheckedNetwork) -> dict[str, Array]:
    """Return inputs rounded to the types that the networks take: packages of Core ML take float16, and their rounding is no module's."""
    rounded = dict(inputs)
    for network in networks:
        for name, dtype in getattr(network.network, "input_dtypes", {}).items():
            if name in rounded and rounded[name].dtype.kind == "f" and np.dtype(dtype).kind == "f":
                with np.errstate(over="ignore"):
                    rounded[name] = rounded[name].astype(dtype).astype(rounded[name].dtype)
    return rounded


def outputs_of(network: CheckedNetwork, inputs: Mapping[str, Array], side: str) -> dict[str, Array]:
    """Run a network on another side's inputs.

    Raises
    ------
    ConfigError : it does not take them
    """
    try:
        return network(**fitting(network, inputs))
    except ArrayContractError as error:
        raise ConfigError(
            f"{side}: its {network.component} cannot take the other side's inputs ({error}); take models of one family"
        ) from None
