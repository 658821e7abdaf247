"""Rules in the form that the wrapper loads: compiled once, checked for freshness at every start."""
