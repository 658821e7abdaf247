"""
Real engines for tests, each on a private host: nothing of this machine is read or changed, and nothing is left.

- ``host``: mounts, processes and network of their own, with private /etc, /run, /var/lib and /var/tmp;
- ``image``: an image without a registry;
- ``engine``: what all engines can be asked to do;
- ``client``: what those have in common that users call by Docker's commands, or that have a daemon;
- ``docker``, ``containerd``, ``podman``, ``buildah``, ``direct``: the engines.
"""
