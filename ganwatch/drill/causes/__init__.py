"""Injections, one module per part of the training that they change. Every class here is found automatically."""
