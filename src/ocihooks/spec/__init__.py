"""The runtime-spec's words: stages, hooks, state. No I/O and no policy."""
