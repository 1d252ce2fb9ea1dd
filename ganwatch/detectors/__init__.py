"""Detectors: each finds one failure and is one file, discovered by its place here."""
