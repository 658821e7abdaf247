"""
Test hooks: bundles, stages run as a runtime would, real runtimes and engines that clean up after themselves.

The names below are imported when they are first used. pytest finds the fixtures of ``ocihooks.testing.plugin`` by
itself where this package is installed.

- ``bundles`` and ``configs``: a root file system of busybox, bundles, config.json documents;
- ``stages``: run the hooks of one stage, those of rules included, without a container;
- ``fake``: scripts that act as a runtime without namespaces or root, and record how they were called;
- ``recorder``: hooks that write down that they ran and what they were given;
- ``runtimes`` and ``cgroups``: run containers with runc and crun, as root and rootless, with private state;
- ``engines``: Docker, containerd, Podman and Buildah on private hosts, with an image that needs no registry.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.testing.bundles import MadeBundle, make_bundle, make_empty_rootfs, make_rootfs
    from ocihooks.testing.cgroups import CgroupView
    from ocihooks.testing.configs import bind_mount, make_config
    from ocihooks.testing.fake import Answer, FakeRuntime, RecordedCall, write_fake_runtime
    from ocihooks.testing.recorder import RecordedHook, read_recorded, recording_hook, recording_hooks
    from ocihooks.testing.runtimes import (
        Call,
        InstalledRuntime,
        OrdinaryUser,
        PrivateRuntime,
        find_runtime,
        make_ordinary_user,
    )
    from ocihooks.testing.stages import run_stage

_HOMES = {
    "bundles": ("MadeBundle", "make_bundle", "make_empty_rootfs", "make_rootfs"),
    "cgroups": ("CgroupView",),
    "configs": ("bind_mount", "make_config"),
    "fake": ("Answer", "FakeRuntime", "RecordedCall", "write_fake_runtime"),
    "recorder": ("RecordedHook", "read_recorded", "recording_hook", "recording_hooks"),
    "runtimes": (
        "Call",
        "InstalledRuntime",
        "OrdinaryUser",
        "PrivateRuntime",
        "find_runtime",
        "make_ordinary_user",
    ),
    "stages": ("run_stage",),
}

__all__ = [
    "Answer",
    "Call",
    "CgroupView",
    "FakeRuntime",
    "InstalledRuntime",
    "MadeBundle",
    "OrdinaryUser",
    "PrivateRuntime",
    "RecordedCall",
    "RecordedHook",
    "bind_mount",
    "find_runtime",
    "make_bundle",
    "make_config",
    "make_empty_rootfs",
    "make_ordinary_user",
    "make_rootfs",
    "read_recorded",
    "recording_hook",
    "recording_hooks",
    "run_stage",
    "write_fake_runtime",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            module = __import__(f"{__name__}.{home}", fromlist=[name])
            value: object = getattr(module, name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
