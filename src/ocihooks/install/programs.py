"""
The programs that can be installed: what each one runs, which modules it loads, and what it does without the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocihooks.install.image import CREATE, ENDINGS, EVERY_CALL

DEFAULT = "ocihooks-runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """
    One of them.

    Attributes:
        name: Its name.
        module: The module whose ``main`` it runs.
        options: Which options of an installation mean something to it, by the attributes of `Request`.
        instead: Where it looks for what the other options say, for messages.
        images: The modules that it loads, each behind those that it imports, by the ending of the image's file.
        without_package: Lines of Python that set ``runtime`` and ``words`` when the package can't be imported.
    """

    name: str
    module: str
    options: tuple[str, ...] = ()
    instead: str = ""
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without_package: str = ""

    @property
    def has_fixed_runtime(self) -> bool:
        """Whether its runtime is chosen at installation."""
        return "runtime" in self.options


_ROOM = ("ocihooks.dropins", "ocihooks.dropins.lookup", "ocihooks.dropins.program")
_MOST_OF_A_CREATE = (
    "_json",
    *("ocihooks.replace", "ocihooks.injection", "ocihooks.document", "ocihooks.wrapper.static"),
    *("ocihooks.dropins.once", "ocihooks.dropins.bundles", "ocihooks.dropins.hook_file", "ocihooks.dropins.inject"),
)

_INJECTOR = (
    *(
        "ocihooks",
        "ocihooks.quoting",
        "ocihooks.errors",
        "ocihooks.faults",
        "_json",
        "ocihooks.reading",
        "ocihooks.replace",
    ),
    *("ocihooks.injection", "ocihooks.document", "ocihooks.wrapper", "ocihooks.wrapper.installation"),
    *("ocihooks.injector", "ocihooks.injector.forms", "ocihooks.injector.files"),
    *("ocihooks.dropins", "ocihooks.dropins.once", "ocihooks.dropins.injector_log", "ocihooks.dropins.injector_hook"),
)
"""What the hook needs for a container that asks for nothing."""

_INJECTING = (
    *("_ctypes", "_struct", "fcntl", "mmap", "select", "resource"),
    *("ocihooks.injector.elf", "ocihooks.injector.linker_cache", "ocihooks.injector.sandbox"),
    *("ocihooks.injector.refresh", "ocihooks.trust", "ocihooks.places", "ocihooks.injector.target"),
    *("ocihooks.injector.errors", "ocihooks.injector.kernel", "ocihooks.injector.worker", "ocihooks.injector.copying"),
    *("ocihooks.injector.rootfs", "ocihooks.injector.changes", "ocihooks.injector.items", "ocihooks.injector.inject"),
)
"""What it needs besides for one that asks for files; asleep, what it needs for one that asks for libraries."""

_SETTINGS_OF_A_CALL = (
    *("ocihooks.version", "ocihooks.reading", "ocihooks.trust", "ocihooks.places", "ocihooks.compiled"),
    *("ocihooks.compiled.sources", "ocihooks.compiled.load", "ocihooks.wrapper.cache"),
    *("ocihooks.dropins.toolkit_cache", "ocihooks.dropins.toolkit_log", "ocihooks.dropins.toolkit_runtime"),
)

_FIND = """\
places = [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
paths = [name if "/" in name else place + "/" + name for name in names if name for place in places if place]
runtime = next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")
"""

_FROM_WORDS = """\
found = {}
while words and words[0].partition("=")[0] in ("--hook-config-path", "--runtime-path"):
    name, equals, value = words.pop(0).partition("=")
    found[name] = value if equals or not words else words.pop(0)
names = [found.get("--runtime-path", "")]
"""

_FROM_SETTINGS = """\
names = ["runc", "docker-runc"]
try:
    import tomllib

    with open(SETTINGS, "rb") as stream:
        names = list(tomllib.load(stream)["container-hooks-runtime"]["runtimes"])
except Exception:
    pass
"""

_NOTHING_CONFIGURED = """\
text = "container-hooks-ctk: the package ocihooks can't be imported; nothing was done\\n"
try:
    os.write(2, (text + "hint: install ocihooks again, then run ocihooks install\\n").encode())
finally:
    os._exit(1)
"""

_NOTHING_INJECTED = """\
text = "oci-injector-hook: the package ocihooks can't be imported; nothing was put into the container\\n"
try:
    os.write(2, (text + "hint: install ocihooks again, then run ocihooks install\\n").encode())
finally:
    os._exit(1)
"""

PROGRAMS = {
    program.name: program
    for program in (
        Program(
            name=DEFAULT,
            module="ocihooks.wrapper.main",
            options=("runtime", "hooks_dirs", "settings", "cache_dir", "launcher"),
            images=ENDINGS,
            without_package="runtime = RUNTIME\n",
        ),
        Program(
            name="oci-add-hooks",
            module="ocihooks.dropins.add_hooks",
            options=("launcher",),
            instead="each call names its runtime and its hook file",
            images={
                ".call": (*EVERY_CALL, *_ROOM, "ocihooks.dropins.add_hooks"),
                CREATE: ("ocihooks.reading", "ocihooks.trust", *_MOST_OF_A_CREATE),
            },
            without_package=_FROM_WORDS + _FIND,
        ),
        Program(
            name="container-hooks-runtime",
            module="ocihooks.dropins.toolkit_runtime",
            options=("settings", "cache_dir", "launcher"),
            instead="its settings file names runtimes and hook file",
            images={
                ".call": (*EVERY_CALL, *_ROOM, *_SETTINGS_OF_A_CALL),
                CREATE: (*_MOST_OF_A_CREATE, "ocihooks.execution", "ocihooks.execution.config_types"),
            },
            without_package=_FROM_SETTINGS + _FIND,
        ),
        Program(
            name="container-hooks",
            module="ocihooks.dropins.marker",
            instead="it is a hook that does nothing",
            images={
                ".call": (
                    *("ocihooks", "ocihooks.wrapper", "ocihooks.wrapper.installation", "ocihooks.dropins"),
                    "ocihooks.dropins.marker",
                )
            },
            without_package="os._exit(0)\n",
        ),
        Program(
            name="container-hooks-ctk",
            module="ocihooks.dropins.ctk",
            instead="its own options tell it what it needs",
            images={
                ".call": ("ocihooks", "ocihooks.wrapper", "ocihooks.wrapper.installation", "ocihooks.dropins"),
            },
            without_package=_NOTHING_CONFIGURED,
        ),
        Program(
            name="oci-injector-hook",
            module="ocihooks.dropins.injector_hook",
            instead="it is a hook, and reads /etc/oci-injector-hook",
            images={".call": _INJECTOR, CREATE: _INJECTING},
            without_package=_NOTHING_INJECTED,
        ),
    )
}
"""By name; the first is what is installed where nobody names one."""


def escape(program: Program, *, runtime: str, settings: str) -> str:
    """The lines of `Program.without_package` for one installation."""
    return program.without_package.replace("RUNTIME", ascii(runtime)).replace("SETTINGS", ascii(settings))
