"""Bounded audit of the real data before the first step, and the identity of a data set."""

from ganwatch.audit.engine import audit
from ganwatch.audit.identity import dataset_identity
from ganwatch.audit.report import Finding, Level, Report

__all__ = ["Finding", "Level", "Report", "audit", "dataset_identity"]
