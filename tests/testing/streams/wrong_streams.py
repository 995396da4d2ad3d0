"""torch's CPU normals written down anew from their definition, and streams that get one thing of it wrong each."""

import math

import numpy as np

from sdrt.arrays import F64, Array, Float

__all__ = ["WRONG_STREAMS", "RightStream"]


class RightStream:
    """Mersenne twister, Box-Muller in groups of 16, the last 16 anew, pairs below 16."""

    def __init__(self, seed: int) -> None:
        self.engine = np.random.RandomState(seed & 0xFFFFFFFF)
        self.spare: float | None = None

    def words(self, count: int) -> Array:
        raw: Array = self.engine._bit_generator.random_raw(count)
        return raw

    def normal(self, shape: tuple[int, ...]) -> Float:
        size = math.prod(shape)
        if size < 16:
            return np.array([self.single() for _ in range(size)]).reshape(shape)
        values = self.groups(size)
        return values.astype(np.float32).reshape(shape)

    def groups(self, size: int) -> F64:
        whole = size - size % 16
        values = np.zeros(size)
        values[:whole] = self.group(self.words(size)[:whole])
        if whole != size:
            values[-16:] = self.group(self.words(16))
        return values

    def group(self, words: Array) -> F64:
        u = ((words & 0xFFFFFF) * 2.0**-24).reshape(-1, 2, 8)
        radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
        return self.turned(radius, angle).ravel()

    def turned(self, radius: Array, angle: Array) -> F64:
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)

    def single(self) -> float:
        if self.spare is not None:
            value, self.spare = self.spare, None
            return value
        low, high, low_2, high_2 = (int(word) for word in self.words(4)[[1, 0, 3, 2]])
        u1, u2 = (((b << 32 | a) & (2**53 - 1)) * 2.0**-53 for a, b in ((low, high), (low_2, high_2)))
        radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self.spare = radius * math.sin(angle)
        return radius * math.cos(angle)


class OtherGenerator(RightStream):
    def normal(self, shape: tuple[int, ...]) -> Float:
        drawn: F64 = self.engine.standard_normal(shape)
        return drawn


class IgnoredSeed(RightStream):
    def __init__(self, seed: int) -> None:
        super().__init__(0)


class SwappedHalves(RightStream):
    def turned(self, radius: F64, angle: F64) -> F64:
        return np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)


class NoTail(RightStream):
    """What is left over is made of words that were drawn already."""

    def groups(self, size: int) -> F64:
        return self.group(self.words(-(-size // 16) * 16))[:size]


class TailOfPairs(RightStream):
    """The tail is drawn as doubles: a fault of Apple's Swift package."""

    def groups(self, size: int) -> F64:
        values = super().groups(size - size % 16)
        return np.concatenate([values, [self.single() for _ in range(size % 16)]])


class NoSmallDraws(RightStream):
    def normal(self, shape: tuple[int, ...]) -> Float:
        size = math.prod(shape)
        return self.groups(max(size, 16))[:size].reshape(shape)


class BeginsAnew(RightStream):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed = seed

    def normal(self, shape: tuple[int, ...]) -> Float:
        return RightStream(self.seed).normal(shape)


class LosesTheSpare(RightStream):
    """The second of a pair is thrown away between draws."""

    def normal(self, shape: tuple[int, ...]) -> Float:
        self.spare = None
        return super().normal(shape)


class OneDraw(RightStream):
    def normal(self, shape: tuple[int, ...]) -> Float:
        if len(shape) < 4:
            return super().normal(shape)
        return np.repeat(super().normal(shape[1:])[None], shape[0], 0)


class ChannelsLast(RightStream):
    def normal(self, shape: tuple[int, ...]) -> Float:
        if len(shape) < 3:
            return super().normal(shape)
        *batch, c, h, w = shape
        drawn: Float = np.moveaxis(super().normal((*batch, h, w, c)), -1, -3)
        return drawn


class Uniform(RightStream):
    def normal(self, shape: tuple[int, ...]) -> Float:
        drawn: F64 = self.engine.random_sample(shape)
        return drawn


class Doubles(RightStream):
    """Every number takes two words."""

    def words(self, count: int) -> Array:
        if count <= 4:
            return super().words(count)
        raw = super().words(2 * count)
        wide: Array = raw[1::2] | (raw[::2] << 32)
        return wide

    def group(self, words: Array) -> F64:
        u = ((words & np.uint64(2**53 - 1)) * 2.0**-53).reshape(-1, 2, 8)
        radius: F64 = np.sqrt(-2 * np.log(1 - u[:, 0]))
        return self.turned(radius, 2 * np.pi * u[:, 1]).ravel()


WRONG_STREAMS: dict[type[RightStream], str] = {
    OtherGenerator: "another_generator",
    IgnoredSeed: "seed_ignored",
    SwappedHalves: "cos_and_sin_swapped",
    NoTail: "tail_of_draws_wrong",
    TailOfPairs: "tail_of_draws_wrong",
    NoSmallDraws: "small_draws_missing",
    BeginsAnew: "draws_do_not_continue",
    LosesTheSpare: "draws_do_not_continue",
    OneDraw: "one_draw_for_all_images",
    ChannelsLast: "another_order_of_axes",
    Uniform: "not_normal",
    Doubles: "draws_of_float64",
}
