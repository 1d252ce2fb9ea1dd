"""Capture of a loop that ganwatch did not write: optimizer hooks, forward wrappers, back-propagated losses."""
