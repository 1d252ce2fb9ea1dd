"""Probes turn tensors into readings: one file each, and helper modules for the probe of quality."""
