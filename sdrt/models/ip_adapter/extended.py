"""A model whose U-Net has IP-Adapters: their keys and values stand beside its weights, and its configuration says how many there are."""

from collections.abc import Sequence
from functools import reduce
from typing import TypeVar

from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.models.ip_adapter.file import IPAdapterFile
from sdrt.models.ip_adapter.fit import check_adapter
from sdrt.models.stored_model import Extension, StoredModel

__all__ = ["with_ip_adapters"]

ModelT = TypeVar("ModelT", bound=StoredModel)


def with_ip_adapters(model: ModelT, adapters: Sequence[IPAdapterFile]) -> ModelT:
    """Return a model with adapters beside its U-Net, under diffusers' names; without any, the model as it was.

    ``config("unet")["ip_adapters"]`` is their number, from which the U-Net's contract derives the inputs that it needs then.

    Raises
    ------
    ConfigError : an adapter does not fit the model
    """
    if not adapters:
        return model
    for adapter in adapters:
        check_adapter(adapter, model)
    paths = cross_attentions(model.config("unet"))

    def tensors() -> ComponentTensors:
        return reduce(ComponentTensors.joined, (adapter.attention_tensors(k, paths) for k, adapter in enumerate(adapters)))

    beside = model.extensions.get("unet", Extension({}))
    return model.with_extension("unet", Extension({**beside.config, "ip_adapters": len(adapters)}, tensors))
