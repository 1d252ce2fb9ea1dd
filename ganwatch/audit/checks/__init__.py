"""One fault of the data a file; ``ganwatch.audit.engine`` discovers them."""
