"""Data-parallel training: every rank reads, rank 0 merges the readings of all ranks, evaluates and writes.

No code here is a collective operation. The other ranks send their readings from a background thread. Rank 0 merges those that have
arrived, at most ``MAX_LAG`` steps later, and continues without ranks that send nothing.
"""
