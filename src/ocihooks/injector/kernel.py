"""
System calls that the standard library does not have.

They go through the module in C below `ctypes`, which costs a tenth of what `ctypes` itself takes to import.
"""

from __future__ import annotations

import errno
import posix
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno
from sys import byteorder

NO_XDEV, NO_MAGICLINKS, IN_ROOT = 0x01, 0x02, 0x10

_OPENAT2 = 437
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_ASK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_NO_INT = 0xFFFFFFFF
"""-1, as many bits of it as all functions return."""

# Rights by the version of Landlock that brought them: write, remove and make in all their forms; refer; truncate.
_WRITE_RIGHTS = {1: 1 << 1 | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: 1 << 14}


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Long


_libc = dlopen(None, 0)  # type: ignore[arg-type]
_system_call = _Function(dlsym(_libc, "syscall"))


def packed(value: int, size_bytes: int = 8) -> bytes:
    """*value* as the kernel has it in its structures."""
    return value.to_bytes(size_bytes, byteorder)


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """Call the kernel by *number*; raises OSError."""
    return _checked(_system_call, number, *arguments)


def library_call(name: str, *arguments: int | bytes | None) -> int:
    """Call the function *name* of the C library; raises OSError."""
    return _checked(_Function(dlsym(_libc, name)), *arguments)


def _checked(function: _Function, *arguments: int | bytes | None) -> int:
    result = function(*[_Long(value) if isinstance(value, int) else value for value in arguments])
    if result & _NO_INT == _NO_INT:  # functions of the library fill no more than half of it
        code = get_errno()
        raise OSError(code, posix.strerror(code))
    return int(result)


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """
    A descriptor of *path* below *directory*, links resolved as *resolve* says; it is not inherited.

    Raises:
        OSError: ENOSYS where the kernel has no such call, EAGAIN when a directory was moved meanwhile.
    """
    how = packed(flags | posix.O_CLOEXEC) + packed(0) + packed(resolve)
    return system_call(_OPENAT2, directory, path, how, len(how))


def forbid_new_privileges() -> None:
    """Take from this process, for good, the ways in which a program that it starts could gain privileges."""
    library_call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def allow_writes_beneath(*directories: int) -> bool:
    """
    Take from this process, for good, the right to change any file outside of *directories*, and to gain privileges.

    Returns:
        Whether the kernel does so; without Landlock it can't.
    """
    try:
        forbid_new_privileges()
        version = system_call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_ASK_VERSION)
        _restrict(directories, sum(right for since, right in _WRITE_RIGHTS.items() if since <= version))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL):
            raise
        return False
    return True


def _restrict(directories: tuple[int, ...], rights: int) -> None:
    ruleset = system_call(_LANDLOCK_CREATE_RULESET, packed(rights), 8, 0)
    try:
        for directory in directories:
            rule = packed(rights) + packed(directory, 4)
            system_call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
        system_call(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        posix.close(ruleset)
