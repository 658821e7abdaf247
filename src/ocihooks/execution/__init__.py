"""Running hooks the way a runtime does: one hook, the hooks of a stage, and filters that rewrite a configuration."""
