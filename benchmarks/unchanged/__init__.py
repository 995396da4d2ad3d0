"""Run two checkouts in one go, and report whether every seed still gives the same bytes."""
