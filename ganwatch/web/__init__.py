"""Parts that every server of ganwatch shares: which hosts it answers, and how it serves."""
