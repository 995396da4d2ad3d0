"""What an export writes beside the weights."""

import json
from pathlib import Path

from sdrt.models import path
from training.export import DEFAULTS, defaults


def test_an_export_over_a_model_keeps_what_its_previews_are_drawn_by(tmp_path: Path) -> None:
    nano = Path(path("nano"))
    assert defaults(nano) == json.loads((nano / "sdrt.json").read_text(encoding="utf-8"))
    assert {"latent_rgb", "quick_vae"} <= defaults(nano).keys()
    assert defaults(tmp_path / "new") == DEFAULTS
