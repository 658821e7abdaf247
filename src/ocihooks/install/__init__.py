"""Puts the runtime wrapper into place and takes it away again."""
