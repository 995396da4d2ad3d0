"""Rows of the table of options, by what they decide."""
