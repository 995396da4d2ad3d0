"""Arithmetic that gives the same bytes everywhere: what ``numerics="exact"`` computes with.

IEEE 754 prescribes the result of + - * / and the square root, of rounding to whole numbers, of scaling by powers of two and of comparisons.
Everything here is built from those, in an order that the code states: no function of libm, no BLAS, no reduction of numpy's.
"""
