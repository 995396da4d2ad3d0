"""What a model says of itself: author, licence, version, descriptions, and what its maker added. None of it may be lost on the way."""

from typing import Any

__all__ = ["annotate"]


def annotate(description: Any, like: Any) -> None:
    """Give a model's description what another one says.

    Parameters
    ----------
    description, like : coremltools.proto.Model_pb2.ModelDescription
        The first is changed. Author, licence, version, summary and user-defined entries are taken over; and the text of each input and
        output that has one in ``like`` under the same name.
    """
    own = dict(description.metadata.userDefined)
    description.metadata.CopyFrom(like.metadata)
    for key, value in own.items():
        if key not in like.metadata.userDefined:
            description.metadata.userDefined[key] = value
    texts = {feature.name: feature.shortDescription for feature in (*like.input, *like.output)}
    for feature in (*description.input, *description.output):
        if texts.get(feature.name):
            feature.shortDescription = texts[feature.name]
