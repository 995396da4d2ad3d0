"""Tensors that are in files and take no part in a picture, by the ends or beginnings of their names. Nothing is said of them."""

import re

__all__ = ["is_idle"]

_IDLE = re.compile(
    "|".join(
        (
            # counters and constants that writers keep beside weights
            r"(?:.*\.)?(?:position_ids|num_batches_tracked|attn_mask)",
            # CLIP's temperature, which compares texts with pictures
            r"(?:.*\.)?logit_(?:scale|bias)",
            # moving averages beside the weights that are used, and their counters
            r"(?:.*\.)?model_ema[._].*|n_averaged",
            # what an autoencoder was trained against
            r"(?:.*\.)?loss\..*|(?:first_stage_model\.)?discriminator\..*",
            # the tables of the noise schedule, which follow from its configuration
            r"(?:model\.)?(?:betas|alphas_cumprod(?:_prev)?|sqrt_\w*alphas_cumprod|log_one_minus_alphas_cumprod|logvar|lvlb_weights)",
            r"(?:model\.)?(?:posterior_(?:variance|log_variance_clipped|mean_coef[12])|global_step)",
            r"denoiser\.(?:log_)?sigmas",
            # marks: of how a model was trained, which are read elsewhere, and of the layout of eight-bit weights
            r"v_pred|ztsnr|(?:.*\.)?(?:scaled_fp8|comfy_quant)",
        )
    )
)


def is_idle(name: str) -> bool:
    """Return whether a tensor takes no part in a picture.

    >>> is_idle("embeddings.position_ids"), is_idle("first_stage_model.loss.logvar"), is_idle("mid_block.resnets.0.conv1.weight")
    (True, True, False)
    """
    return _IDLE.fullmatch(name) is not None
