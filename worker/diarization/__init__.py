"""Who spoke when: pure functions, and the pipeline that joins them."""
