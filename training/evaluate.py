"""Generate held-out scenes with diffusers' own pipeline, and judge them.

python -m training.evaluate --model sdrt/models/nano --singles 240 --pairs 200 --scheduler dpm --steps 20 --json scores.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from training.captions import caption
from training.distil_text import loose_caption
from training.judge import Picture, Verdict, judge
from training.scenes import Scene, sample

SCHEDULERS = {
    "dpm": "DPMSolverMultistepScheduler",
    "pndm": "PNDMScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
}
_BATCH = 16


@dataclass(frozen=True)
class Drawer:
    """A pipeline with its settings."""

    pipeline: Any
    steps: int
    guidance: float

    @classmethod
    def load(cls, model: Path, scheduler: str, steps: int, guidance: float) -> Drawer:
        """Load a model folder, and replace its scheduler as diffusers recommends."""
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model)
        pipeline.scheduler = getattr(diffusers, SCHEDULERS[scheduler]).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, steps, guidance)

    def draw(self, prompts: list[str], seeds: list[int]) -> list[Picture]:
        """Generate one picture u8[128, 128, 3] for each prompt and seed."""
        pictures: list[Picture] = []
        for start in range(0, len(prompts), _BATCH):
            rows = slice(start, start + _BATCH)
            drawn = self.pipeline(
                prompts[rows],
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[rows]],
                output_type="np",
            ).images
            pictures.extend(np.round(drawn * 255.0).astype(np.uint8))
        return pictures


def held_out_scenes(count: int, *, pairs: bool, seed: int) -> list[tuple[Scene, str]]:
    """Sample different scenes that training never saw, each with a caption that names everything."""
    rng = np.random.default_rng(seed)
    scenes: dict[Scene, str] = {}
    while len(scenes) < count:
        scene = sample(rng, pairs=float(pairs), unseen=True)
        scenes.setdefault(scene, caption(scene, rng, complete=True))
    return list(scenes.items())


def loose_scenes(count: int, *, seed: int) -> list[tuple[Scene, str]]:
    """Sample prompts as people type them, with the scenes they mean; the wording is new to the U-Net, the scenes need not be."""
    rng = np.random.default_rng(seed)
    drawn = (loose_caption(rng) for _ in range(count))
    return [(scene, text) for text, scene in drawn]


def scores(verdicts: list[Verdict]) -> dict[str, float]:
    """Return the percentage of correct verdicts, in each aspect and overall."""
    parts = ("shape", "colour", "background", "position", "size", "all")
    return {part: round(100.0 * float(np.mean([getattr(verdict, part) for verdict in verdicts])), 2) for part in parts}


def evaluate(drawer: Drawer, scenes: list[tuple[Scene, str]], first_seed: int) -> dict[str, Any]:
    """Return scores and failures over these scenes, with one seed each from `first_seed` on."""
    began = time.monotonic()
    seeds = list(range(first_seed, first_seed + len(scenes)))
    pictures = drawer.draw([prompt for _, prompt in scenes], seeds)
    verdicts = [judge(picture, scene) for picture, (scene, _) in zip(pictures, scenes, strict=True)]
    failures = [
        {"prompt": prompt, "seed": seed, "wrong": [part for part, right in asdict(verdict).items() if not right]}
        for verdict, (_, prompt), seed in zip(verdicts, scenes, seeds, strict=True)
        if not verdict.all
    ]
    return {"prompts": len(scenes), "seconds": round(time.monotonic() - began, 1), "right": scores(verdicts), "failures": failures}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--singles", type=int, default=240)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--loose", type=int, default=0, help="terse, wordy and incomplete prompts")
    parser.add_argument("--scheduler", choices=sorted(SCHEDULERS), default="dpm")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1000, help="chooses the scenes, and is the first picture's seed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the full report")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    drawer = Drawer.load(options.model, options.scheduler, options.steps, options.guidance)
    report: dict[str, Any] = {"scheduler": SCHEDULERS[options.scheduler], "steps": options.steps, "guidance": options.guidance}
    sets = {
        "one object": held_out_scenes(options.singles, pairs=False, seed=options.seed),
        "two objects": held_out_scenes(options.pairs, pairs=True, seed=options.seed),
        "loose prompts": loose_scenes(options.loose, seed=options.seed),
    }
    for kind, scenes in sets.items():
        if scenes:
            result = report[kind] = evaluate(drawer, scenes, options.seed)
            print(
                f"{kind}, {report['scheduler']}, {options.steps} steps, {len(scenes)} prompts:",
                result["right"],
                result["seconds"],
                "s",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
