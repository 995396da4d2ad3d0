"""Configurations drawn without regard to what diffusers makes of them: every option of every class, 1 to 200 steps.

Under ``compat="diffusers"`` ours must do what diffusers does with each. A family of samplers has a file; DRAWN joins their tables.
"""

from tests.schedulers.drawn import edm, flow, integer, ratio, solver
from tests.schedulers.drawn.base import Drawn

__all__ = ["DRAWN", "Drawn"]

DRAWN = {**edm.DRAWN, **flow.DRAWN, **integer.DRAWN, **ratio.DRAWN, **solver.DRAWN}
