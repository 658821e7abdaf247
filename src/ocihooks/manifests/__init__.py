"""Signed manifests: what the root file system of a container has to be, to the byte, before it may be created."""
