"""Leftover tensors: each tensor of a component is used, or known to be idle, or named. This is the one rule for all readers.

After a component was opened, a tensor that was not read falls under the first of these that fits:

1. It is idle (`sdrt.models.idle_tensors`), or of another component in the same files (``Component.others``): nothing is said.
2. It is of an add-on that acts on an input of its own, a picture (IP-Adapter) or boxes (GLIGEN). Without that input, which is given
   to add-ons that are named (``ip_adapter=``) and not to those among a network's own tensors, the network computes what it would compute
   without the add-on: a remark.
3. It is of an adapter that always acts (a LoRA beside the weights, a motion module): the picture would not be its maker's, an error that
   says how to bring it in.
4. Anything else leaves the structure in doubt: the configuration, or the shapes that it was derived from, and the file do not agree. An
   error that names the tensors.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from sdrt.errors import WeightsError
from sdrt.models.component_tensors import ComponentTensors, Leftover
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.idle_tensors import is_idle
from sdrt.printable import shown

__all__ = ["check_leftovers", "few_of", "foreign_tensors"]

_ADD_ON = re.compile(r"(?:.*\.)?(?:to_[kv]_ip|fuser|position_net|encoder_hid_proj|image_proj|ip_adapter)\..*")
_LORA = re.compile(r".*(?:lora_|\.lora\.|\.lora_|_lora\.|dora_|hada_|lokr_).*")
_SHOWN = 3


def check_leftovers(component: ComponentName, weights: ComponentTensors) -> str | None:
    """Judge what is left of a component's tensors after it was opened.

    Returns
    -------
    str or None
        One sentence about add-ons that are not used; None where there is nothing to say.

    Raises
    ------
    WeightsError : tensors that put the structure in doubt; the message names some of them
    """
    others = COMPONENTS[component].others
    left = [each for each in weights.leftovers() if not (each.name.startswith(others or ("\0",)) or is_idle(each.name))]
    files = ", ".join(map(str, weights.files))
    if doubtful := [each for each in left if _ADD_ON.fullmatch(each.name) is None]:
        if any(_LORA.fullmatch(each.name) for each in doubtful):
            raise WeightsError(
                f"{files}: the {component} has a LoRA beside its weights, in {_named(doubtful)}; merge it (fuse_lora of diffusers, or "
                "merge_and_unload of peft) and save the weights again"
            )
        raise WeightsError(
            f"{files}: every tensor of the {component} must have a place in the network that its configuration describes, got "
            f"{_named(doubtful)} without one; take configuration and weights of one model, or remove what does not belong to it"
        )
    if not left:
        return None
    return f"{files}: an add-on to the {component} is not used, in {_named(left)}; the picture is that of the network without it"


def foreign_tensors(file: Path, names: Collection[str], prefixes: tuple[str, ...]) -> str | None:
    """Judge the tensors of a file with several components that are of none of them.

    Parameters
    ----------
    file : Path
    names : collection of str
        Plain names.
    prefixes : tuple of str
        Of the components in the file.

    Returns
    -------
    str or None
        One sentence that names some; None where there are none. They are of nothing that is opened, so no structure is in doubt.
    """
    foreign = [name for name in names if not name.startswith(prefixes) and not is_idle(name)]
    return f"{file}: {few_of(foreign)} belong to none of its components and are not used" if foreign else None


def few_of(names: Sequence[str]) -> str:
    """Return a count and the first few names: ``5 tensors ('a', 'b', 'c', ...)``."""
    listed = ", ".join(shown(name) for name in sorted(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} ({listed})"


def _named(left: Sequence[Leftover]) -> str:
    # a tensor that is cut into three places counts once
    return few_of(list({each.stored for each in left}))
