"""Settings for every test: fixed hypothesis examples in CI, warnings of floating point as errors."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ)
settings.load_profile("default")
