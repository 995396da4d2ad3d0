"""The names of rows, and the texts that they have."""

import pytest

from sdrt.errors import ConfigError
from sdrt.guidance import is_prompted, prompt_row, split_rows, text_row, text_rows
from tests.factories import normal


def test_each_row_has_the_text_of_its_prompt() -> None:
    rows = ("negative", "prompt", "prompt 2", "perturbed")
    assert [text_row(row) for row in rows] == ["negative", "prompt", "prompt 2", "prompt"]
    assert text_rows(rows) == ("negative", "prompt", "prompt 2")
    assert [is_prompted(row) for row in rows] == [False, True, True, True]
    assert [prompt_row(k) for k in range(12)][::11] == ["prompt", "prompt 12"]


@pytest.mark.parametrize("row", ["prompts", "prompt 1", "prompt 02", "prompt  2", "prompt 2\n", "", "Negative", 2, None])
def test_other_names_are_refused(row: object) -> None:
    with pytest.raises(ConfigError, match="'negative', 'prompt', 'prompt 2' and so on, or 'perturbed'"):
        split_rows(normal(0, 4, 4, 2, 2), ("negative", row))  # type: ignore[arg-type]


def test_predictions_are_split_by_all_kinds_of_rows() -> None:
    predictions = normal(0, 8, 4, 2, 2)
    split = split_rows(predictions, ("negative", "prompt", "prompt 2", "perturbed"))
    assert list(split) == ["negative", "prompt", "prompt 2", "perturbed"]
    assert all((split[row] == predictions[2 * k : 2 * k + 2]).all() for k, row in enumerate(split))
