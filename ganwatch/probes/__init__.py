"""Tensors in, readings out: one file a probe."""
