"""Trainings with nothing wrong."""

from wiring.loops import Loop


class Healthy(Loop):
    """The loop as it is."""
