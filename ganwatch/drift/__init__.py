"""Whether the world moved or the generator regressed."""
