"""The store of runs: a database of readings, incidents and evidence, and image files beside it."""
