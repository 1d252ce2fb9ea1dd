"""Faults of wiring and their healthy look-alikes; a file for each detector."""
