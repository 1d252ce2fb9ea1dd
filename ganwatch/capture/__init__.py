"""How ganwatch sees a loop that it did not write: optimizer hooks, forward wrappers, back-propagated losses."""
