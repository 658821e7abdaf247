"""
Test hooks: bundles, real runtimes and engines that clean up after themselves, and a simulated runtime.

- ``bundles`` and ``configs``: a root file system of busybox, bundles, config.json documents;
- ``runtimes`` and ``cgroups``: run containers with runc and crun, as root and rootless, with private state;
- ``engines``: Docker, containerd, Podman and Buildah on private hosts, with an image that needs no registry;
- ``fake``: scripts that act as a runtime without namespaces or root, and record how they were called;
- ``recorder``: hooks that write down that they ran and what they were given.
"""
