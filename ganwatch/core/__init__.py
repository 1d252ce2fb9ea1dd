"""Torch-free core: readings in, incidents out."""

from ganwatch.core import announce  # its filter serves every line that is logged
