"""The wild part of the corpus: plain PyTorch loops of many shapes, watched with default settings."""
