"""Open the IP-Adapters of a pipeline, and the image encoder that they were trained with."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sdrt.backends import PLAIN
from sdrt.backends.pool import NetworkPool
from sdrt.files import exists
from sdrt.models import StoredModel
from sdrt.pipeline.image_prompter import ImagePrompter
from sdrt.pipeline.opening import Opening

__all__ = ["open_image_prompts"]


def open_image_prompts(
    opening: Opening,
    files: Sequence[str | Path],
    image_encoder: str | Path | None,
    model: StoredModel,
    pool: Callable[[StoredModel], NetworkPool],
) -> tuple[StoredModel, ImagePrompter]:
    """Open adapters and their encoder.

    Parameters
    ----------
    opening : Opening
    files : sequence of str or Path
        The adapters.
    image_encoder : str, Path or None
        None: a folder ``image_encoder`` beside the first adapter's file, or in the model's, or none at all.
    model : StoredModel
        Without adapters.
    pool : callable
        Makes the networks of a model.

    Returns
    -------
    the model with the adapters beside its U-Net, and the networks that make their tokens

    Raises
    ------
    ConfigError, ModelError : a file cannot be used, does not fit the model, or the encoder does not fit an adapter
    """
    from sdrt.models.ip_adapter import check_encoder, with_ip_adapters

    adapters = [opening.ip_adapter(file) for file in files]
    with_adapters = with_ip_adapters(model, adapters)
    encoder: StoredModel | None = None
    if image_encoder is not None:
        encoder = opening.image_encoder(image_encoder)
    elif exists((beside := adapters[0].path.parent / "image_encoder") / "config.json"):
        encoder = opening.image_encoder(beside)
    elif "image_encoder" in model.components:
        encoder = model
    if encoder is not None:
        for adapter in adapters:
            check_encoder(adapter, encoder)
    prompter = ImagePrompter.of([pool(adapter) for adapter in adapters], None if encoder is None else pool(encoder), model)
    # refused here, and not in the first call
    pool(with_adapters).check("unet", PLAIN)
    prompter.check()
    return with_adapters, prompter
