"""Readers that turn a folder, an array, a URL or a dataset into samples and list what they leave out."""
