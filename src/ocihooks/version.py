"""The version of the package, alone in a module so that the wrapper can read it without importing anything else."""

__version__ = "0.1.0"
