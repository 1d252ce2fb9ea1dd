"""Targets of the fuzz: one module a kind of input, each with a list ``TARGETS``."""
