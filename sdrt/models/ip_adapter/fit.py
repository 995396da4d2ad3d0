"""Whether an IP-Adapter fits a U-Net, and an image encoder the adapter: by their widths, before anything is opened."""

from typing import Any

from sdrt.errors import ConfigError
from sdrt.models.base import Model
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.models.components.image_projection import input_width, takes_states, token_width
from sdrt.models.ip_adapter.file import IPAdapterFile

__all__ = ["check_adapter", "check_encoder"]

_FAMILY = "pass an adapter for this model's family"


def check_adapter(adapter: IPAdapterFile, model: Model) -> None:
    """Check that an adapter has tokens of the width of a U-Net's texts, and keys and values for each of its cross-attentions.

    Raises
    ------
    ConfigError : it does not
    """
    config = model.config("unet")
    width, wanted = token_width(adapter.config("image_projection")), config["cross_attention_dim"]
    if width != wanted:
        raise ConfigError(
            f"{adapter.path}: an IP-Adapter's tokens must be as wide as the texts of {model.name}, {wanted} (Stable Diffusion 1.x 768, "
            f"2.x 1024, XL 2048), got {width}; {_FAMILY}"
        )
    paths, weights = cross_attentions(config), model.tensors("unet")
    # the original code counts the self-attentions too
    numbers = [2 * k + 1 for k in range(len(paths))]
    if list(adapter.attentions) != numbers:
        raise ConfigError(
            f"{adapter.path}: must have keys and values for the {len(numbers)} cross-attentions of {model.name}, got them for "
            f"{len(adapter.attentions)}; {_FAMILY}"
        )
    for path, (number, shapes) in zip(paths, adapter.attentions.items(), strict=True):
        for name in ("to_k", "to_v"):
            own = weights.shape(f"{path}.{name}.weight")
            if shapes.get(f"{name}_ip") != own:
                raise ConfigError(
                    f"{adapter.path}: ip_adapter.{number}.{name}_ip.weight must have the shape {list(own)} of {path}.{name}, got "
                    f"{list(shapes.get(f'{name}_ip', ()))}; {_FAMILY}"
                )


def check_encoder(adapter: IPAdapterFile, encoder: Model) -> None:
    """Check that an image encoder gives what an adapter takes.

    Raises
    ------
    ConfigError : it does not
    """
    config: dict[str, Any] = dict(adapter.config("image_projection"))
    key = "hidden_size" if takes_states(config) else "projection_dim"
    wanted, got = input_width(config), encoder.config("image_encoder")[key]
    if got != wanted:
        raise ConfigError(
            f"{encoder.where('image_encoder')}: {key} must be {wanted} for {adapter.path.name} (ViT-H has 1280 and projects to 1024, bigG "
            f"1664 and 1280), got {got}; pass the image encoder that the adapter was trained with"
        )
