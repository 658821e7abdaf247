"""
A container's stages without a container: its hooks are run for real, with the state that a runtime would send.

- ``flavours``: what runc, crun and the runtime-spec do differently, as tables;
- ``lifecycle``: the stages in order, and what follows when a hook fails;
- ``container``: the process that stands for the container, with namespaces of its own where root asks for them;
- ``hold`` and ``enter``: the programs that make these namespaces, and that run a hook in them;
- ``mounts``: the mounts of a configuration in the root file system.
"""
