"""Script that Streamlit runs for each viewer. Start it with ``ganwatch dashboard``."""

from ganwatch.dashboards.navigation import main  # type: ignore[import-not-found]  # the name exists in an installation, not in the checkout's tree

main()
