"""Two checkouts, one run: whether every seed still gives the same bytes."""
