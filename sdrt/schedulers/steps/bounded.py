"""Linear steps whose predicted x0 is bounded: they cannot be folded, since a bound is not linear."""

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, to_eps, to_x0
from sdrt.schedulers.core.run import State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import Weights, linear_combination

__all__ = ["advance_bounded", "bounded_step"]


def bounded_step(
    c: Weights, prediction: Prediction, bound: X0Bound, x: Float, output: Float, noise: Float | None, *, eps_of_bound: bool = False
) -> Float:
    """Return x' = x0 * x0_hat + eps * eps_hat + x * sample + noise * z in a fresh array, with x0_hat within its bound.

    Parameters
    ----------
    c : Weights
        The weights of a call, with its step as the algorithm states it.
    eps_of_bound : bool
        Whether the noise is recomputed from the bounded x0; if not, it stays as the network predicted it.
    """
    step = c.step
    x0 = bound(to_x0(prediction, x, output, c.alpha, c.sigma))
    eps = None
    if step.eps:
        eps = to_eps("sample", x, x0, c.alpha, c.sigma) if eps_of_bound else to_eps(prediction, x, output, c.alpha, c.sigma)
    return linear_combination((step.x0, step.eps, step.x, c.noise), (x0, eps, x, noise))


def advance_bounded(self: Sampler, c: Weights, state: State, output: Float, noise: Float | None) -> State:
    """Move on by one call: the ``_advance`` of a sampler of linear steps that has a bound."""
    if not self.bound:
        return Sampler._advance(self, c, state, output, noise)
    return state.advance(bounded_step(c, self.prediction_type, self.bound, state.x, output, noise))
