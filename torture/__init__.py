"""All attacks and faults at full amounts: a table of rows, each run as tests, and a report of what came of them."""
