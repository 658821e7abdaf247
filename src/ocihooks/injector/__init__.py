"""Puts files of the host into containers whose environment asks for them, and nothing anywhere else."""
