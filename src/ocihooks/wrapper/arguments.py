"""
An engine's command line, read as the runtime behind us will read it: which operation, which bundle.

runc and crun read the same words differently. runc takes options behind the container id, one dash or two, ``-b=DIR``
and ``--debug=false``; crun follows getopt, with ``-bDIR``, ``-db DIR`` and abbreviations (``--bund DIR``), and reads no
option behind the id. The tables hold the options of runc 1.1 to 1.5 and of crun from 1.8 on together: a runtime refuses
those that it doesn't have, so knowing too many does no harm.

An option that is in no table may be new, and may take the next word as its value, so a line with one is read both ways.
If all readings that the runtime can accept name one bundle, all is well; else ``Call.doubt`` says so.

This module is on the wrapper's warm path: it imports nothing until a line is in doubt.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGING = ("create", "run", "restore")
"""The operations that read a config.json, hence the only ones that may change it."""

OTHER = (
    *("start", "state", "kill", "delete", "exec", "list", "ps", "pause", "resume", "update", "checkpoint", "events"),
    *("spec", "features", "mounts", "init", "help", "h"),
)

# What an option does. Any other word in the tables is the attribute of Call that keeps its value.
FLAG = "flag"  # has no value
VALUE = "value"  # has one that tells us nothing
_PRINTS = "prints"  # has none; the runtime prints something and ends

_GLOBAL = {
    "root": "root",
    "log": "log",
    "log-format": "log_format",
    "log-level": VALUE,
    "rootless": VALUE,
    "cgroup-manager": VALUE,
    "criu": VALUE,
    "debug": FLAG,
    "systemd-cgroup": FLAG,
}
_VERSION = {"version": _PRINTS, "v": _PRINTS, "V": _PRINTS}
_RUNC = {"help": _PRINTS, "h": _PRINTS}
_CRUN = {"help": _PRINTS, "?": _PRINTS, "usage": _PRINTS, "program-name": VALUE, "HANG": FLAG, "f": "config"}
_NEW_CONTAINER = {
    "bundle": "bundle",
    "b": "bundle",
    "config": "config",
    "console-socket": VALUE,
    "pid-file": VALUE,
    "pidfd-socket": VALUE,
    "preserve-fds": VALUE,
    "image-path": VALUE,
    "work-path": VALUE,
    "manage-cgroups-mode": VALUE,
    "empty-ns": VALUE,
    "lsm-profile": VALUE,
    "lsm-mount-context": VALUE,
    "detach": FLAG,
    "d": FLAG,
    "keep": FLAG,
    "no-pivot": FLAG,
    "no-new-keyring": FLAG,
    "no-subreaper": FLAG,
    "tcp-established": FLAG,
    "ext-unix-sk": FLAG,
    "shell-job": FLAG,
    "file-locks": FLAG,
    "auto-dedup": FLAG,
    "lazy-pages": FLAG,
}
# The other operations: only what is needed to find the container id.
_KILL_AND_DELETE = {"f": FLAG, "r": FLAG}
_WITHVALUE = (
    "bundle b file format f resources r process p pid-file console-socket pidfd-socket cwd env e user u "
    "additional-gids g process-label apparmor cap c preserve-fds cgroup image-path work-path parent-path status-fd "
    "page-server empty-ns manage-cgroups-mode interval blkio-weight cpu-burst cpu-idle cpu-period cpu-quota "
    "cpu-rt-period cpu-rt-runtime cpu-share cpuset-cpus cpuset-mems kernel-memory kernel-memory-tcp l3-cache-schema "
    "mem-bw-schema memory memory-reservation memory-swap pids-limit"
)

_NO = ("0", "f", "F", "false", "FALSE", "False")  # what runc takes for false


MEMBERS = (
    "bundle",
    "config",
    "container_id",
    "doubt",
    "flavour",
    "log",
    "log_format",
    "operation",
    "prints",
    "refused",
    "root",
)
"""The attributes of a `Call`."""


class Call:
    """
    What a command line asks of the runtime.

    Attributes:
        flavour: Whose rules it was read by: "runc" or "crun".
        operation: The command word, also an unknown one; None: there is none.
        bundle: The bundle directory as given; "": the working directory.
        config: The configuration file as given, see `config_file`.
        root: Where the runtime keeps its state, as given; None: its default.
        log: The log file as given; None: none.
        log_format: "text" unless given.
        container_id: None: there is none.
        prints: The runtime only prints its help or version.
        refused: The runtime surely refuses the line (no container id, two of them, a missing value): let it say so.
        doubt: Why it isn't certain which bundle a create, run or restore means; None: it is.
    """

    __slots__ = MEMBERS

    def __init__(self, flavour: str = "runc") -> None:
        self.flavour = flavour
        self.operation: str | None = None
        self.bundle = ""
        self.config = "config.json"
        self.root: str | None = None
        self.log: str | None = None
        self.log_format = "text"
        self.container_id: str | None = None
        self.prints = False
        self.refused = False
        self.doubt: str | None = None

    def __repr__(self) -> str:
        return f"Call({', '.join(f'{name}={getattr(self, name)!r}' for name in MEMBERS)})"


def changes_container(call: Call) -> bool:
    """Whether the runtime is going to read a config.json: only then may we change one."""
    return call.operation in CHANGING and not call.prints


def config_file(call: Call) -> str:
    """The configuration file, absolute or relative to the working directory: the bundle's unless one is given."""
    if call.config != "config.json" or not call.bundle:
        return call.config
    return f"{call.bundle}/config.json"


def parse(argv: "Sequence[str]", flavour: str = "runc") -> Call:
    """
    Read a command line. It never fails: a line that no runtime understands gives a ``refused`` or unknown call.

    Args:
        argv: The words behind the program's name.
        flavour: "runc" or "crun"; for any other runtime the line must mean the same by the rules of both.
    """
    if flavour in ("runc", "crun"):
        reader = Reader(flavour, argv, {})
        call = reader.read_all()
        if reader.unfamiliar is None:
            return call
    from ocihooks.wrapper.readings import read_every_way

    return read_every_way(argv, (flavour,) if flavour in ("runc", "crun") else ("runc", "crun"))


class Reader:
    """One pass over a command line, from left to right: the call so far, and the options known at this point."""

    __slots__ = ("argv", "assumed", "call", "crun", "ids", "table", "unfamiliar", "words")

    def __init__(self, flavour: str, argv: "Sequence[str]", assumed: "dict[str, str]") -> None:
        self.call = Call(flavour)
        self.crun = flavour == "crun"
        self.table = _GLOBAL | _VERSION | (_CRUN if self.crun else _RUNC)
        self.argv = argv
        self.words = iter(argv)
        self.ids: list[str] = []
        self.assumed = assumed  # what options do that are in no table
        self.unfamiliar: str | None = None  # the first that isn't in there either; read as one without a value

    def read_all(self) -> Call:
        """Read all words."""
        for word in self.words:
            self.read(word)
        call, ids = self.call, self.ids
        call.container_id = ids[0] if ids else None
        if call.operation in CHANGING:
            most = 2 if self.crun and call.operation == "restore" else 1
            call.refused = call.refused or not 1 <= len(ids) <= most
            if call.refused and not self.crun and "--" in self.argv:
                self.differ('"--"')  # 1.1 puts it first, so that an option that it doesn't have becomes an id
        else:
            call.doubt = None
        call.refused = call.refused and not call.doubt
        return call

    def read(self, word: str) -> None:
        """Read one word, with its value from the words to come where it has one."""
        if not self.crun and (word == "-" or word != word.strip()):
            self.differ("a lone dash and words with blanks around them")
        if word[:1] != "-" or word in ("-", "--"):
            self.plain(word)
        elif word[1] == "-":
            self.long(word[2:])
        elif self.crun:
            self.cluster(word[1:])
        elif word[1].isalpha():
            self.long(word[1:])
        else:
            self.differ("words such as -1")

    def differ(self, words: str) -> None:
        """Note that versions of runc disagree; 1.1 moves words about before it looks at them."""
        self.call.doubt = f"versions of runc differ in how they read {words}"

    def plain(self, word: str) -> None:
        """The command, a container id, or the end of the options."""
        if self.call.operation is None:
            self.call.operation = next(self.words, None) if word == "--" else word
            self.table = self.command_table()
            return
        if word != "--":
            self.ids.append(word)
        if word == "--" or self.crun or self.call.operation == "exec":
            self.ids += self.words  # no options behind these

    def command_table(self) -> "dict[str, str]":
        """The options behind the command."""
        common = _CRUN if self.crun else _RUNC
        if self.call.operation in CHANGING:
            return common | _NEW_CONTAINER
        if self.call.operation in ("kill", "delete"):
            return common | _KILL_AND_DELETE
        return common | dict.fromkeys(_WITHVALUE.split(), VALUE)

    def long(self, option: str) -> None:
        """An option by its name, for runc also a short one: NAME or NAME=VALUE."""
        name, equals, value = option.partition("=")
        kind = self.table.get(name)
        if self.crun and (kind is None or len(name) == 1):
            kind = self.abbreviated(name)
        elif kind is None:
            kind = _GLOBAL.get(name)  # runc 1.5 takes the global options behind the command, too
        if kind is None and not equals:
            kind = self.unknown(name)
        self.apply(kind or FLAG, value if equals else None)

    def cluster(self, letters: str) -> None:
        """Short options of crun in one word: ``-dbDIR`` is ``-d -b DIR``."""
        for index, letter in enumerate(letters):
            kind = self.table.get(letter) or self.unknown(letter)
            if kind not in (FLAG, _PRINTS):
                self.apply(kind, letters[index + 1 :] or None)
                break
            self.apply(kind, None)

    def abbreviated(self, name: str) -> str | None:
        """What the options do that begin with *name*; None if they differ. (crun refuses all but a single one.)"""
        kinds = {kind for option, kind in self.table.items() if option.startswith(name) and len(option) > 1}
        if len(kinds) == 1:
            return kinds.pop()
        return None if not kinds or kinds & {FLAG, _PRINTS} else VALUE

    def unknown(self, name: str) -> str:
        """What an option does that is in no table; for operations that change nothing it doesn't matter."""
        if name in self.assumed:
            return self.assumed[name]
        if self.unfamiliar is None and (self.call.operation is None or self.call.operation in CHANGING):
            self.unfamiliar = name
        return FLAG

    def apply(self, kind: str, value: str | None) -> None:
        """Do what an option does; *value* is None when it isn't in the same word."""
        if kind == FLAG:
            return
        if kind == _PRINTS:
            self.call.prints = value not in _NO
            return
        if value is None:
            value = next(self.words, None)
        if value is None and self.crun:
            self.call.refused = True
        elif value is None:
            self.differ("an option without its value")  # 1.1 gives it a word from before, even the id
        elif kind == "config" and not self.crun:
            # For runc only a missing option means the file in the bundle, for crun also the plain name.
            self.call.config = "./config.json" if value == "config.json" else value or "config.json"
        elif kind != VALUE:
            setattr(self.call, kind, value)
