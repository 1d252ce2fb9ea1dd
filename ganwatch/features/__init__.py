"""Feature extractors: samples to the vectors that metrics compare."""
