"""Many calls of one pipeline: batches that go on where they were ended, and grids over prompts and options."""

from sdrt.batch.drawing import Outcome, draw_jobs
from sdrt.batch.grid import Axis, Grid, parse_axis, plan_grid
from sdrt.batch.jobs import Job, RowError, jobs_of_prompts, read_jobs

__all__ = ["Axis", "Grid", "Job", "Outcome", "RowError", "draw_jobs", "jobs_of_prompts", "parse_axis", "plan_grid", "read_jobs"]
