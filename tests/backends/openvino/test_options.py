"""The plug-in's options by kind; OpenVINO itself is not needed to refuse one."""

from pathlib import Path
from typing import Any

import pytest

from sdrt.backends import BackendOptions
from sdrt.backends.openvino.options import OpenVinoOptions
from sdrt.errors import ConfigError


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"cache_dir": 3}, "cache_dir must be a path, or null, got 3"),
        ({"cache_dir": "a\0b"}, "cache_dir must be a path, or null, got"),
        ({"device": 3}, "device must be a Unicode string of 1 to 100 characters, or null, got 3"),
        ({"device": ["CPU"]}, r"device must be a Unicode string of 1 to 100 characters, or null, got \['CPU'\]"),
        ({"dtype": 3}, "dtype must be 'float32' or 'bfloat16' or 'float16', or null, got 3"),
        ({"dtype": ["float32"]}, "dtype must be 'float32' or 'bfloat16' or 'float16', or null, got"),
    ],
)
def test_values_of_other_kinds_are_refused(own: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        OpenVinoOptions.read(BackendOptions(extra=own))


def test_none_is_the_default_of_each_but_the_cache(tmp_path: Path) -> None:
    options = OpenVinoOptions.read(BackendOptions(extra={"device": None, "dtype": None, "cache_dir": None}))
    assert (options.device, options.hint, options.cache) == ("CPU", "f32", None)
    assert OpenVinoOptions.read(BackendOptions(extra={"device": "gpu", "cache_dir": tmp_path})).device == "GPU"
