"""A model that remembers which weights it gave, so that what was not used of them can be named."""

from typing import Any, cast

from sdrt.models.base import Model
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.leftovers import check_leftovers

__all__ = ["RecordedModel"]


class RecordedModel:
    """A model for one opening of one of its components; in everything else it is the model that it was made of."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._given: list[tuple[ComponentName, ComponentTensors]] = []

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The model's own class: a backend may ask ``isinstance`` whether it can run the model."""
        return type(self._model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def as_model(self) -> Model:
        """Return this model as what it stands for: it has everything that the protocol lists."""
        return cast("Model", self)

    def tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the component's weights, as the model does."""
        weights = self._model.tensors(component)
        self._given.append((component, weights))
        return weights

    def check(self) -> dict[str, str]:
        """Judge what was left of the weights that were given.

        Who read none at all has a way of its own to them, of which nothing can be said.

        Returns
        -------
        dict from topic to sentence : the remarks

        Raises
        ------
        WeightsError : see `check_leftovers`
        """
        remarks = {}
        for component, weights in self._given:
            if weights.is_used and (remark := check_leftovers(component, weights)):
                remarks[f"unused tensors of {component}"] = remark
        return remarks
