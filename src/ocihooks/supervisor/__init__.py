"""The supervisor: stands in config.json in place of a rule's hook, runs that hook, and records what it did."""
