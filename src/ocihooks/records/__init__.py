"""Records: what was put into which container, and what became of each supervised hook; one JSON line each."""
