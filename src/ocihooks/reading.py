"""
Reads a file whole from its descriptor. On the wrapper's warm path.
"""

import posix

_CHUNK_BYTES = 1 << 16


def read_whole(fd: int, size_bytes: int, limit_bytes: int) -> bytes:
    """
    What is left to read from *fd*; if that is more than *limit_bytes*, some more than that, for the caller to refuse.

    Args:
        size_bytes: The size that `fstat` told. A file that has not changed since is read by one system call, into no
            more memory than it needs.
    """
    data = posix.read(fd, min(size_bytes, limit_bytes) + 1)
    if len(data) == size_bytes:  # less than asked for: this is the end
        return data
    while len(data) <= limit_bytes and (chunk := posix.read(fd, _CHUNK_BYTES)):
        data += chunk
    return data
