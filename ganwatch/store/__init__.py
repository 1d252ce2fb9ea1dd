"""Where runs are kept: tables, blocks of readings, incidents with evidence, and image files beside them."""
