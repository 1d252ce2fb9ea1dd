"""What ``streamlit run`` is pointed at. Start it with ``ganwatch dashboard``."""

from ganwatch.dashboards.shell import main  # type: ignore[import-not-found]  # the name exists in an installation, not in the checkout's tree

main()
