"""
The runtime wrapper: what engines call in place of the OCI runtime.

It runs before every container, so its modules import next to nothing until something is wrong.
"""
