"""What is checked: a backend's network of one case, how it was opened, and its bench."""

from dataclasses import dataclass

from sdrt.arrays import Array, Numerics
from sdrt.backends import PLAIN, Backend, BackendOptions, ComponentOptions, Network
from sdrt.models import StoredModel
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.judge import Outputs
from sdrt.testing.networks.settings import Setting

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A network that was opened.

    Parameters
    ----------
    backend : Backend
    case : Case
    model : StoredModel
    numerics : Numerics
    network : Network
    bench : Bench
    """

    backend: Backend
    case: Case
    model: StoredModel
    numerics: Numerics
    network: Network
    bench: Bench

    def __str__(self) -> str:
        return str(self.case)

    def reopened(self, model: StoredModel | None = None, component_options: ComponentOptions = PLAIN, **options: object) -> Network:
        """Open the component once more, of this model or another, with other options."""
        chosen = BackendOptions(**{"numerics": self.numerics, **options})  # type: ignore[arg-type]
        return self.backend.open(self.case.component, self.model if model is None else model, chosen, component_options)

    def inputs(self, setting: Setting) -> dict[str, Array]:
        """Draw inputs in the dtypes of the seam; those of a plain call where the network admits no such sizes."""
        inputs = self.bench.inputs(setting)
        if not self.bench.examinee.takes(inputs):
            inputs = self.bench.inputs(Setting(seed=setting.seed, residuals=setting.residuals))
        return self.bench.examinee.cast(inputs)

    def call(self, setting: Setting) -> Outputs:
        """Call the network."""
        return self.network(**self.inputs(setting))
