"""Modules of Apple's package that sdrt does not have answer in one line, whatever they are given."""

import pytest

from sdrt.cli import main


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("activation_quantization --model-version runwayml/stable-diffusion-v1-5 --generate-calibration-data -o out", "--quantize-nbits 8"),
        ("activation_quantization --layerwise-sensitivity -h", "--quantize-nbits 8"),
        ("multilingual_projection --input-path projection.pt --output-dir out", "use a model whose own text encoder reads the language"),
    ],
)
def test_the_answer_is_one_line_that_says_what_to_do_instead(typed: str, instead: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apple", *typed.split()]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"sdrt: {typed.split()[0]} must be run from Apple's own package")
    assert instead in said
    assert said.count("\n") == 1
