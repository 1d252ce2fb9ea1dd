"""Subcommands of ``ganwatch``: one light module each."""
