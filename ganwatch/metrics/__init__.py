"""Measures of sample quality as ``torchmetrics.Metric``, usable alone."""
