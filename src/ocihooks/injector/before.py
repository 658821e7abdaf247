"""
Puts things of the host into a container before it is created: by its configuration alone, so that nothing is copied.

Files and directories are bind mounts, devices are entries of ``linux.devices`` that the container's cgroup allows.
What the configuration has already counts as done, so that doing it twice equals doing it once. Nothing here looks at
the container's tree: the runtime makes the mount points, and it follows links in the tree to places in the tree only.

Spec: runtime-spec 1.3.0, config.md "Mounts", config-linux.md "Devices" and "Allowed Device list".
"""

from __future__ import annotations

from ocihooks.errors import quoted
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import EVERYWHERE, inside
from ocihooks.injector.host import DEVICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ocihooks.injector.host import Node, Thing

SHOWN_OPTIONS = ("bind", "ro", "nosuid", "nodev", "rprivate")
"""
How files and directories are mounted. Not "rbind": "ro" holds for the topmost file system only, and the others below
would be writable.
"""

DEVICE_OPTIONS = ("bind", "nosuid", "noexec", "rprivate")
"""How devices are mounted into a user namespace, where a runtime can't make nodes."""

ACCESS = "rwm"
"""What a container may do with a device, as engines have it."""

_LIBRARIES = ("/lib", "/lib64", "/lib32", "/libx32")
"""Directories in which the dynamic linker looks for libraries that its cache does not name; below /usr, too."""

MOUNTED, NODE, MADE, PRESENT, LEFT_OUT = "mount", "device", "made", "present", "left out"
"""
What becomes of a thing: mounted; made as a device; a directory that the runtime makes for a mount below it; there
already; optional and not possible.
"""


class Step:
    """
    What becomes of one thing.

    Attributes:
        thing: The thing.
        outcome: One of `MOUNTED`, `NODE`, `MADE`, `PRESENT`, `LEFT_OUT`; "": it can't be given.
        why: Why it is left out, there already, or can't be given.
        problem: Why it can't be given; None: it can, or it is optional.
        only_copied: Whether the other way can give it, or can do more for it.
        mount: The entry of ``mounts`` that it needs; None: none.
        device: The entry of ``linux.devices`` that it needs; None: none.
        rule: The entry of ``linux.resources.devices`` that it needs; None: none.
    """

    __slots__ = ("device", "mount", "only_copied", "outcome", "problem", "rule", "thing", "why")

    def __init__(
        self,
        thing: Thing,
        outcome: str,
        why: str = "",
        *,
        problem: NotInjectedError | None = None,
        only_copied: bool = False,
        mount: Mapping[str, Any] | None = None,
        device: Mapping[str, Any] | None = None,
        rule: Mapping[str, Any] | None = None,
    ) -> None:
        self.thing = thing
        self.outcome = outcome
        self.why = why
        self.problem = problem
        self.only_copied = only_copied
        self.mount = mount
        self.device = device
        self.rule = rule


class Sketch:
    """
    A configuration as far as it matters here, with what is to be added to it.

    Attributes:
        members: Those of the configuration; never changed.
        mounts, devices, rules: What is added.
    """

    __slots__ = ("devices", "members", "mounts", "rules")

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = members
        self.mounts: list[Mapping[str, Any]] = []
        self.devices: list[Mapping[str, Any]] = []
        self.rules: list[Mapping[str, Any]] = []

    def copy(self) -> Sketch:
        """Another one with the same additions."""
        other = Sketch(self.members)
        other.mounts, other.devices, other.rules = [*self.mounts], [*self.devices], [*self.rules]
        return other

    def all_of(self, *names: str) -> list[Mapping[str, Any]]:
        """The objects in the array at *names* of the configuration."""
        value: Any = self.members
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def all_mounts(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Every mount with its destination, in order."""
        for mount in (*self.all_of("mounts"), *self.mounts):
            destination = mount.get("destination")
            if isinstance(destination, str):
                yield inside(destination) or "/", mount

    def has_user_namespace(self) -> bool:
        """Whether the container has a user namespace of its own."""
        return any(namespace.get("type") == "user" for namespace in self.all_of("linux", "namespaces"))

    def add(self, step: Step) -> None:
        """Add what *step* needs."""
        for things, thing in ((self.mounts, step.mount), (self.devices, step.device), (self.rules, step.rule)):
            if thing is not None:
                things.append(thing)


def steps_for(things: Sequence[Thing], sketch: Sketch) -> tuple[Step, ...]:
    """What becomes of each of *things*; what they need is added to *sketch*."""
    steps = []
    for thing in things:
        step = _step(thing, things, sketch)
        if not step.outcome and thing.entry.optional:
            step = Step(thing, LEFT_OUT, step.why, only_copied=step.only_copied)
        sketch.add(step)
        steps.append(step)
    return tuple(steps)


def _step(thing: Thing, others: Sequence[Thing], sketch: Sketch) -> Step:
    if thing.problem is not None:
        return Step(thing, "", thing.reason, problem=thing.problem)
    if thing.node is None:
        return _directory(thing, others, sketch)
    if thing.node.kind == DEVICE:
        return _device(thing, thing.node, sketch)
    if thing.entry.mode not in (None, thing.node.mode):
        return _impossible(thing, f"a mount has the mode of its source, {thing.node.mode:04o}", only_copied=True)
    step = _mount(thing, sketch, SHOWN_OPTIONS)
    if thing.entry.kind == "libraries" and step.mount is not None and not _is_found(thing.destination):
        step.why = "without a new cache the dynamic linker looks for libraries in its usual directories only"
        step.only_copied = True
    return step


def _is_found(library: str) -> bool:
    """Whether the dynamic linker finds a *library* at this place without its cache."""
    directory = library.rpartition("/")[0].removeprefix("/usr")
    above, _, name = directory.rpartition("/")
    return directory in _LIBRARIES or (above in _LIBRARIES and "-linux-" in name)


def _directory(thing: Thing, others: Sequence[Thing], sketch: Sketch) -> Step:
    """A directory without a source: the runtime makes it if something is mounted below it."""
    below = f"{thing.destination}/"
    if any(other.node is not None and f"{other.destination}/".startswith(below) for other in others):
        return Step(thing, MADE, "the runtime makes it for what is mounted below it")
    if any(f"{place}/".startswith(below) for place, _ in sketch.all_mounts()):
        return Step(thing, PRESENT, "a mount is there or below it")
    return _impossible(thing, "a directory without a source can't be mounted", only_copied=True)


def _mount(thing: Thing, sketch: Sketch, options: Sequence[str], rule: Mapping[str, Any] | None = None) -> Step:
    if _is_mounted(thing, sketch):
        return Step(thing, PRESENT, "the configuration has this mount", rule=rule)
    trouble = _trouble(thing.destination, sketch)
    if trouble:
        return _impossible(thing, trouble)
    mount = {"destination": thing.destination, "type": "bind", "source": thing.source, "options": list(options)}
    return Step(thing, MOUNTED, mount=mount, rule=rule)


def _is_mounted(thing: Thing, sketch: Sketch) -> bool:
    return any(place == thing.destination and is_mount_of(mount, thing.source) for place, mount in sketch.all_mounts())


def is_mount_of(mount: Mapping[str, Any], source: str) -> bool:
    """Whether *mount* is a bind mount of the host's *source*."""
    given = mount.get("source")
    return is_bind(mount) and isinstance(given, str) and inside(given) == inside(source)


def is_bind(mount: Mapping[str, Any]) -> bool:
    """Whether *mount* is a bind mount: runtimes look at its options as well as at its type."""
    return mount.get("type") == "bind" or bool({"bind", "rbind"}.intersection(mount.get("options") or ()))


def _trouble(destination: str, sketch: Sketch) -> str:
    """Why nothing can be mounted at *destination*; "" if it can."""
    nearest, above = "", None
    for place, mount in sketch.all_mounts():
        if place == destination:
            return f"the container has another mount there, of {quoted(mount.get('source'), 200)}"
        if place.startswith(f"{destination}/"):
            return f"it would hide the container's mount at {quoted(place, 200)}"
        if destination.startswith(f"{place}/") and len(place) >= len(nearest):
            nearest, above = place, mount
    if above is None or (above.get("type") == "tmpfs" and not is_bind(above)):
        return ""
    return f"it lies in the container's mount at {quoted(nearest, 200)}, and nothing is put into volumes"


def _device(thing: Thing, node: Node, sketch: Sketch) -> Step:
    if thing.source == thing.destination and thing.destination in EVERYWHERE:
        return Step(thing, PRESENT, "every container has it")
    if not thing.destination.startswith("/dev/"):
        return _impossible(thing, "devices go below /dev only")
    rule = {"allow": True, "type": node.type, "major": node.major, "minor": node.minor, "access": ACCESS}
    needed = None if _is_allowed(rule, sketch) else rule
    for device in (*sketch.all_of("linux", "devices"), *sketch.devices):
        path = device.get("path")
        if isinstance(path, str) and inside(path) == thing.destination:
            return _device_there(thing, node, device, needed)
    if not sketch.has_user_namespace():
        return _device_node(thing, node, needed, sketch)
    if thing.entry.mode not in (None, node.mode):
        return _impossible(thing, f"in a user namespace it has the mode of its source, {node.mode:04o}")
    return _mount(thing, sketch, DEVICE_OPTIONS, needed)


def _device_node(thing: Thing, node: Node, rule: Mapping[str, Any] | None, sketch: Sketch) -> Step:
    trouble = _trouble(thing.destination, sketch)
    if trouble:
        return _impossible(thing, trouble)
    mode = node.mode if thing.entry.mode is None else thing.entry.mode
    numbers = {"type": node.type, "major": node.major, "minor": node.minor}
    device = {"path": thing.destination, **numbers, "fileMode": mode, "uid": node.uid, "gid": node.gid}
    return Step(thing, NODE, device=device, rule=rule)


def _device_there(thing: Thing, node: Node, device: Mapping[str, Any], rule: Mapping[str, Any] | None) -> Step:
    """What becomes of *thing* where the container has *device* at its path."""
    if is_device(device, node.type, node.major, node.minor):
        return Step(thing, PRESENT, "the configuration has this device", rule=rule)
    return _impossible(thing, "the container has another device there")


def is_device(device: Mapping[str, Any], kind: str, major: int, minor: int) -> bool:
    """Whether an entry of the configuration is the device of these numbers."""
    kinds = ("c", "u") if kind == "c" else (kind,)
    numbers = str(device.get("major")), str(device.get("minor"))
    return device.get("type") in kinds and numbers == (str(major), str(minor))


def _is_allowed(rule: Mapping[str, Any], sketch: Sketch) -> bool:
    """Whether *rule* is there, and nothing is denied behind it."""
    allowed = False
    for other in (*sketch.all_of("linux", "resources", "devices"), *sketch.rules):
        if other.get("allow") is not True:
            allowed = False
        elif {name: str(value) for name, value in other.items()} == {name: str(value) for name, value in rule.items()}:
            allowed = True
    return allowed


def _impossible(thing: Thing, reason: str, *, only_copied: bool = False) -> Step:
    hint = "choose another path" if not only_copied else 'set "way": "copy", which oci-injector-hook follows'
    problem = NotInjectedError(
        f"{quoted(thing.source or thing.destination, 200)} can't be given to the container: {reason}",
        code="not_injected",
        file=thing.file,
        pointer=thing.entry.pointer,
        hint=hint,
    )
    return Step(thing, "", reason, problem=problem, only_copied=only_copied)


def with_environment(entries: Sequence[str], variables: Iterable[str]) -> tuple[str, ...]:
    """*entries* of an environment with *variables*, each in the place of one of its name, or behind the others."""
    result = list(entries)
    for variable in variables:
        name = f"{variable.partition('=')[0]}="
        places = [index for index, entry in enumerate(result) if entry.startswith(name)]
        if places:
            result[places[-1]] = variable
        else:
            result.append(variable)
    return tuple(result)
