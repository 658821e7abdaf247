"""What an installed wrapper was told when it was installed; it stands in the installed script as plain text."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Installation:
    """
    The fixed facts of one installed wrapper.

    Attributes:
        name: The program's name, for messages.
        script: Its own absolute path, which it must never start again.
        runtime: Absolute path of the real runtime.
        flavour: Whose command line the runtime has: "runc" or "crun", or "" where that is unknown.
        settings: Path of the settings file; "": the default place, for rootless users their own.
        hooks_dirs: Hooks directories in place of those of the settings; empty: those of the settings.
        cache_dir: Where compiled rules are kept; "": the default place.
        supervisor: Absolute path of the installed supervisor; "": it is started from the package.
        launched: Whether the launcher starts the script; it then says in the first word which signals were ignored.
        start: Absolute path of the script's compiled form, which the launcher may have started; "": it doesn't.
    """

    __slots__ = (
        "cache_dir",
        "flavour",
        "hooks_dirs",
        "launched",
        "name",
        "runtime",
        "script",
        "settings",
        "start",
        "supervisor",
    )

    def __init__(
        self,
        *,
        name: str,
        script: str,
        runtime: str,
        flavour: str = "",
        settings: str = "",
        hooks_dirs: "Sequence[str]" = (),
        cache_dir: str = "",
        launched: bool = False,
        start: str = "",
        supervisor: str = "",
    ) -> None:
        self.name = name
        self.script = script
        self.runtime = runtime
        self.flavour = flavour
        self.settings = settings
        self.hooks_dirs = tuple(hooks_dirs)
        self.cache_dir = cache_dir
        self.launched = launched
        self.start = start
        self.supervisor = supervisor
