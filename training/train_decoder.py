"""Train the decoder further, on latents denoised by the U-Net. The encoder does not change, and so neither do the latents.

    python -m training.train_decoder --out DIR --minutes 10

Writes DIR/decoder, the whole autoencoder with the improved decoder. Resumes after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.captions import caption
from training.denoising import signal_and_noise
from training.encode import load_encoders
from training.loop import LoopSettings, train
from training.scenes import place, render, sample
from training.stage import in_team
from training.team import Team
from training.train_unet import load_unet
from training.train_vae import picture_loss, quality

_BATCH = 6
_PAIR_SHARE = 0.4
_LAST_TIMESTEP = 250  # noise is added up to this step: beyond it, the U-Net's estimate of the outline is too vague to learn from


def run(out: Path, minutes: float, team: Team) -> None:
    """Train, and write OUT/decoder."""
    encoders, unet = load_encoders(out), load_unet(out / "unet.pt").to(memory_format=torch.channels_last)
    vae = encoders.vae
    learnt = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    signal, noisiness = signal_and_noise()
    rng = np.random.default_rng()  # unseeded on purpose: members, and a resumed run, must not draw the same pictures
    torch.manual_seed(int(rng.integers(2**31)))

    def cleaned(latents: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return the U-Net's estimate of the latents after noise of a random, low timestep."""
        timesteps, noise = torch.randint(0, _LAST_TIMESTEP, (len(latents),)), torch.randn_like(latents)
        a, s = signal[timesteps][:, None, None, None], noisiness[timesteps][:, None, None, None]
        noisy = a * latents + s * noise
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            velocity = unet(noisy.to(memory_format=torch.channels_last), timesteps, states).sample
        guess: torch.Tensor = a * noisy - s * velocity.float()
        return guess

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        scenes = [sample(rng, pairs=_PAIR_SHARE, unseen=False) for _ in range(_BATCH)]
        pictures, distances = zip(*(render(place(scene, rng)) for scene in scenes), strict=True)
        latents = cleaned(encoders.latents(list(pictures)), encoders.states([caption(scene, rng) for scene in scenes]))
        with torch.autocast("cpu", torch.bfloat16):
            drawn = vae.decode(latents / float(vae.config.scaling_factor)).sample
        nearest = torch.from_numpy(np.stack(distances))[:, None]
        return {"loss": picture_loss(drawn, torch.from_numpy(np.stack(pictures)), nearest)}

    settings = LoopSettings(checkpoint=out / "decoder.pt", minutes=minutes, learning_rate=6e-4, decay_from=0.3)
    train(learnt, loss, settings, team)
    if team.rank == 0:
        print("PSNR dB, all and near outlines:", quality(vae, np.random.default_rng(2)), flush=True)
        vae.save_pretrained(out / "decoder")
    team.leave()


if __name__ == "__main__":
    in_team("training.train_decoder", __doc__, run, minutes=10.0)
