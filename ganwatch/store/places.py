"""Names of a store's files. Importing them needs no database."""

SQLITE_FILE = "ganwatch.db"
"""Database of a store that is a folder."""
SQLITE_SUFFIXES = {".db", ".sqlite", ".sqlite3"}
"""Ends of the name of a store that is a file."""
