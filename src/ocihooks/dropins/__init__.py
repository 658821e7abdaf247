"""
Programs that stand in for existing ones of the same name: same command line, same files, the same wrapper behind them.

``oci-add-hooks`` and ``container-hooks-runtime`` are runtime wrappers that copy the hooks of one file into every
container; ``container-hooks`` is the hook by which the second knows a container that has them.
"""
