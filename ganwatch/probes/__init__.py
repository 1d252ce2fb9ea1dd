"""Probes, which turn tensors into readings: one file each, with helpers beside those that need some."""
