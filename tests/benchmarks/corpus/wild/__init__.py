"""The wild part of the corpus: plain PyTorch loops of many shapes, watched by one line with default settings.

A plan (``plan``, ``design``) names a world (``worlds``), a loss (``losses``), a pair of networks (``networks``), an optimizer
(``optimizers``) and a style of writing the loop (``styles``). A run is the style's loop (``loop``) with a cause (``causes``) or a variant
(``healthy``) on top. ``recorder`` measures the truth, ``label`` turns it into the label, ``generate`` records both.

A new cause or variant is a class in a module of its folder. It overrides what it changes: losses, batches, latents, clearing, updates,
schedules. It does not override whole phases, because styles do.
"""
