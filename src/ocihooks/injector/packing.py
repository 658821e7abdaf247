"""
Injector files in the form that the compiled rules keep.
"""

import marshal

from ocihooks.injector.files import Entry, InjectorFile


def packed(file: InjectorFile) -> bytes:
    """All of *file*."""
    entries = tuple(
        [(one.kind, one.source, one.destination, one.pointer, one.mode, one.optional) for one in file.entries]
    )
    return marshal.dumps((file.file, file.flag, entries, file.way, file.optional, file.env))


def unpacked(data: bytes) -> InjectorFile:
    """The file that `packed` was given."""
    file, flag, entries, way, optional, env = marshal.loads(data)  # noqa: S302  (from the compiled rules)
    kept = [
        Entry(kind, source, destination, pointer, mode=mode, optional=leave_out)
        for kind, source, destination, pointer, mode, leave_out in entries
    ]
    return InjectorFile(file, flag, tuple(kept), way=way, optional=optional, env=env)
