"""
Which type each member of a Linux configuration has, so that a filter's slip is named before a runtime stumbles over it.

Members that are not listed may be anything. Null counts as not given, as it does for the runtimes.

Spec: runtime-spec 1.3.0, config.md, config-linux.md.
"""

from ocihooks.document import JSONNumber

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Shape: TypeAlias = "str | range | list[Any] | dict[str, Any]"
    """A word, or a range of whole numbers; ``[SHAPE]`` for an array; ``{NAME: SHAPE}`` for an object."""
else:
    Shape = object  # typing, which could say more, is not imported on a wrapper's warm path


STRING, BOOLEAN = "a string", "true or false"
U16, U32, U64 = range(1 << 16), range(1 << 32), range(1 << 64)
I32, I64 = range(-(1 << 31), 1 << 31), range(-(1 << 63), 1 << 63)
"""Whole numbers, written without fraction or exponent."""

STRINGS = [STRING]
_ONLY_STRINGS = {str}
EACH = "*"
"""Name that stands for all members of an object with free names."""

_ID_MAPPINGS = [{"containerID": U32, "hostID": U32, "size": U32}]
_HOOKS = [{"path": STRING, "args": STRINGS, "env": STRINGS, "timeout": I64}]
_DEVICE = {"major": I64, "minor": I64}
_WEIGHTS = [_DEVICE | {"weight": U16, "leafWeight": U16}]
_RATES = [_DEVICE | {"rate": U64}]

_PROCESS = {
    "terminal": BOOLEAN,
    "consoleSize": {"height": U64, "width": U64},
    "user": {"uid": U32, "gid": U32, "umask": U32, "additionalGids": [U32], "username": STRING},
    "args": STRINGS,
    "commandLine": STRING,
    "env": STRINGS,
    "cwd": STRING,
    "capabilities": dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), STRINGS),
    "rlimits": [{"type": STRING, "hard": U64, "soft": U64}],
    "noNewPrivileges": BOOLEAN,
    "apparmorProfile": STRING,
    "oomScoreAdj": I64,
    "scheduler": {
        "policy": STRING,
        "nice": I32,
        "priority": I32,
        "flags": STRINGS,
        "runtime": U64,
        "deadline": U64,
        "period": U64,
    },
    "selinuxLabel": STRING,
    "ioPriority": {"class": STRING, "priority": I64},
    "execCPUAffinity": {"initial": STRING, "final": STRING},
}

_RESOURCES = {
    "devices": [_DEVICE | {"allow": BOOLEAN, "type": STRING, "access": STRING}],
    "memory": {
        "limit": I64,
        "reservation": I64,
        "swap": I64,
        "kernel": I64,
        "kernelTCP": I64,
        "swappiness": U64,
        "disableOOMKiller": BOOLEAN,
        "useHierarchy": BOOLEAN,
        "checkBeforeUpdate": BOOLEAN,
    },
    "cpu": {
        "shares": U64,
        "quota": I64,
        "burst": U64,
        "period": U64,
        "realtimeRuntime": I64,
        "realtimePeriod": U64,
        "cpus": STRING,
        "mems": STRING,
        "idle": I64,
    },
    "pids": {"limit": I64},
    "blockIO": {
        "weight": U16,
        "leafWeight": U16,
        "weightDevice": _WEIGHTS,
        "throttleReadBpsDevice": _RATES,
        "throttleWriteBpsDevice": _RATES,
        "throttleReadIOPSDevice": _RATES,
        "throttleWriteIOPSDevice": _RATES,
    },
    "hugepageLimits": [{"pageSize": STRING, "limit": U64}],
    "network": {"classID": U32, "priorities": [{"name": STRING, "priority": U32}]},
    "rdma": {EACH: {"hcaHandles": U32, "hcaObjects": U32}},
    "unified": {EACH: STRING},
}

_SECCOMP = {
    "defaultAction": STRING,
    "defaultErrnoRet": U64,
    "architectures": STRINGS,
    "flags": STRINGS,
    "listenerPath": STRING,
    "listenerMetadata": STRING,
    "syscalls": [
        {
            "names": STRINGS,
            "action": STRING,
            "errnoRet": U64,
            "args": [{"index": U64, "value": U64, "valueTwo": U64, "op": STRING}],
        }
    ],
}

_LINUX = {
    "uidMappings": _ID_MAPPINGS,
    "gidMappings": _ID_MAPPINGS,
    "sysctl": {EACH: STRING},
    "resources": _RESOURCES,
    "cgroupsPath": STRING,
    "namespaces": [{"type": STRING, "path": STRING}],
    "devices": [_DEVICE | {"path": STRING, "type": STRING, "fileMode": U32, "uid": U32, "gid": U32}],
    "netDevices": {EACH: {"name": STRING}},
    "seccomp": _SECCOMP,
    "rootfsPropagation": STRING,
    "maskedPaths": STRINGS,
    "readonlyPaths": STRINGS,
    "mountLabel": STRING,
    "intelRdt": {
        "closID": STRING,
        "l3CacheSchema": STRING,
        "memBwSchema": STRING,
        "enableCMT": BOOLEAN,
        "enableMBM": BOOLEAN,
    },
    "personality": {"domain": STRING, "flags": STRINGS},
    "timeOffsets": {EACH: {"secs": I64, "nanosecs": U32}},
}

CONFIG: "Shape" = {
    "ociVersion": STRING,
    "process": _PROCESS,
    "root": {"path": STRING, "readonly": BOOLEAN},
    "hostname": STRING,
    "domainname": STRING,
    "mounts": [
        {
            "destination": STRING,
            "type": STRING,
            "source": STRING,
            "options": STRINGS,
            "uidMappings": _ID_MAPPINGS,
            "gidMappings": _ID_MAPPINGS,
        }
    ],
    "hooks": dict.fromkeys(
        ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"), _HOOKS
    ),
    "annotations": {EACH: STRING},
    "linux": _LINUX,
}
"""The whole configuration."""


def misfits(value: "Any", *, exponents: bool = False) -> "list[str]":
    """
    What in a parsed configuration (numbers as `JSONNumber`) has a wrong type: ``POINTER: expected …, found …``.

    Args:
        exponents: Whether a number with a fraction or exponent may stand for a whole number.
    """
    found: list[str] = []
    _compare(value, CONFIG, "", exponents, found)
    return found


def _compare(value: "Any", shape: "Shape", pointer: str, exponents: bool, found: "list[str]") -> None:
    """Add to *found* what in *value*, at *pointer*, is not as *shape*."""
    if value is None:
        return
    if isinstance(shape, dict) and isinstance(value, dict):
        free = shape.get(EACH)
        for name, item in value.items():
            inner = shape.get(name, free)
            if inner is not None and not (inner is STRING and type(item) is str):
                _compare(item, inner, f"{pointer}/{name}", exponents, found)
    elif isinstance(shape, list) and isinstance(value, list):
        inner = shape[0]
        if inner is STRING and {*map(type, value)} <= _ONLY_STRINGS:
            return  # as most of a configuration is
        for index, item in enumerate(value):
            _compare(item, inner, f"{pointer}/{index}", exponents, found)
    elif not (_fits(value, shape) or (exponents and _may_be_whole(value, shape))):
        from ocihooks.faults import type_name

        found.append(f"{pointer or '/'}: expected {_named(shape)}, found {type_name(value)} {_shown(value)}")


def _fits(value: "Any", shape: "Shape") -> bool:
    if isinstance(shape, range):
        digits = value.removeprefix("-") if isinstance(value, JSONNumber) else ""
        return digits.isdigit() and len(digits) <= 20 and int(value) in shape
    if shape == STRING:
        return isinstance(value, str) and not isinstance(value, JSONNumber)
    return shape == BOOLEAN and isinstance(value, bool)


def _may_be_whole(value: "Any", shape: "Shape") -> bool:
    """Whether this is a number written so that only its reader can tell which one it is."""
    return isinstance(shape, range) and isinstance(value, JSONNumber) and not value.removeprefix("-").isdigit()


def _named(shape: "Shape") -> str:
    if isinstance(shape, range):
        return f"a whole number from {shape.start} to {shape.stop - 1}"
    return shape if isinstance(shape, str) else "an array" if isinstance(shape, list) else "an object"


def _shown(value: "Any") -> str:
    """The value itself where it is short; of an array or object its size, since it may hold anything."""
    if isinstance(value, (dict, list)):
        return f"of {len(value)}"
    if isinstance(value, JSONNumber):
        return str(value)[:40]
    from ocihooks.quoting import quoted

    return quoted(value, 40)
