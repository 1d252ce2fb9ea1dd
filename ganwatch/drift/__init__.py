"""Tests for two changes: of the real data, and of the generator."""
