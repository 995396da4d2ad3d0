"""Apple's PNDM in our own words. Source: apple/ml-stable-diffusion at e12202c, ``Scheduler.swift``."""

import numpy as np

__all__ = ["SwiftPndm"]


class SwiftPndm:
    """Its scheduler in float64 scalars, over a float32 table: a counter, the outputs so far, and the predicted x0 of each call."""

    def __init__(self, n: int) -> None:
        self.stride, self.counter = 1000 // n, 0
        step = (np.float32(0.012**0.5) - np.float32(0.00085**0.5)) / np.float32(999)
        betas = np.square(np.arange(1000, dtype=np.float32) * step + np.float32(0.00085**0.5))
        self.table = [np.float32(1) - betas[0]]
        for beta in betas[1:]:
            self.table.append(self.table[-1] * (np.float32(1) - beta))
        self.outputs: list[np.ndarray] = []
        self.kept = np.zeros(0)
        self.x0s: list[np.ndarray] = []

    def step(self, output: np.ndarray, t: int, x: np.ndarray) -> np.ndarray:
        before = t - self.stride
        if self.counter == 1:
            before, t = t, t + self.stride
            mixed, x = (output + self.outputs[-1]) / 2, self.kept
        else:
            self.outputs.append(output)
            e = self.outputs[::-1]
            self.kept = x
            mixed = {
                1: lambda: e[0],
                2: lambda: 3 / 2 * e[0] - 1 / 2 * e[1],
                3: lambda: 23 / 12 * e[0] - 16 / 12 * e[1] + 5 / 12 * e[2],
            }.get(len(e), lambda: 55 / 24 * e[0] - 59 / 24 * e[1] + 37 / 24 * e[2] - 9 / 24 * e[3])()
        self.counter += 1
        now, then = float(self.table[t]), float(self.table[max(0, before)])
        self.x0s.append((x - np.sqrt(1 - now) * mixed) / np.sqrt(now))
        divisor = now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)
        moved: np.ndarray = np.sqrt(then / now) * x - (then - now) / divisor * mixed
        return moved
