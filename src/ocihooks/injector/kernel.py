"""System calls that the standard library does not have."""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

NO_XDEV, NO_MAGICLINKS, IN_ROOT = 0x01, 0x02, 0x10

_OPENAT2 = 437
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_ASK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

# Rights by the version of Landlock that brought them: write, remove and make in all their forms; refer; truncate.
_WRITE_RIGHTS = {1: 1 << 1 | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: 1 << 14}


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """
    A descriptor of *path* below *directory*, links resolved as *resolve* says; it is not inherited.

    Raises:
        OSError: ENOSYS where the kernel has no such call, EAGAIN when a directory was moved meanwhile.
    """
    how = _How(flags | os.O_CLOEXEC, 0, resolve)
    return _call(_OPENAT2, directory, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))


def allow_writes_beneath(directory: int) -> bool:
    """
    Take from this process, for good, the right to change any file outside of *directory*, and to gain privileges.

    Returns:
        Whether the kernel does so; without Landlock it can't.
    """
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    try:
        version = _call(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_ASK_VERSION))
        _restrict(directory, sum(right for since, right in _WRITE_RIGHTS.items() if since <= version))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
        return False
    return True


def _restrict(directory: int, rights: int) -> None:
    handled = ctypes.c_uint64(rights)
    ruleset = _call(_LANDLOCK_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    try:
        rule = _Beneath(rights, directory)
        _call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
        _call(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
