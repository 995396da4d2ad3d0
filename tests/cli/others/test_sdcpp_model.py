"""A model of the Hub that `sdrt sdcpp` opens before it draws: fetched once, and no more of it than is drawn with."""

from pathlib import Path

import pytest

from sdrt.cli import main
from tests.hub_repository import nano_files
from tests.hub_server import HubServer


@pytest.mark.parametrize("flags", [["--clip-skip", "2"], ["--scheduler", "ays", "--sampling-method", "euler"]])
def test_a_model_whose_kind_matters_is_fetched_once(
    flags: list[str], hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checker = "safety_checker/model.safetensors"
    hub.add("someone/nano", {**nano_files(), checker: b"not needed"})
    size = ["-W", "64", "-H", "64", "--steps", "2"]
    assert main(["sdcpp", "-m", "someone/nano", "-p", "a red circle", *size, *flags, "-o", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().err.count("sdrt: someone/nano: fetching") == 1
    assert not [request for request in hub.requests if request.path.endswith(checker)]
