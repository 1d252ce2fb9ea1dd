"""Dashboard: Streamlit screens that read a store and nothing else."""
