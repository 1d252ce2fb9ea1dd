"""Alert rules, their tests and runbooks, rendered from the detectors."""
