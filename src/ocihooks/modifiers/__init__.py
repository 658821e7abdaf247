"""Modifiers: Python functions of the administrator that are asked about each container before it is created."""
