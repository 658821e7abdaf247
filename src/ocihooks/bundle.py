"""
A bundle on disk: the directory that a runtime makes a container from.

Spec: runtime-spec 1.3.0, bundle.md.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ocihooks.document import read_config, with_member
from ocihooks.injection import Additions, merged
from ocihooks.replace import replace_file

if TYPE_CHECKING:
    from ocihooks.hooksd.matching import Injection


class Bundle:
    """
    The bundle in *directory*.

    Attributes:
        directory: As given.
        config_path: Path of its config.json.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory)
        self.config_path = os.path.join(self.directory, "config.json")

    def config(self) -> dict[str, Any]:
        """
        Its configuration, parsed anew.

        Raises:
            DocumentError: It can't be read, or runtimes would read it differently.
        """
        config: dict[str, Any] = json.loads(read_config(self.config_path).text)
        return config

    def inject(self, injection: Injection) -> bool:
        """
        Give config.json the hooks of *injection*, replaced whole and with no byte outside ``hooks`` changed.

        What `ocihooks-runtime` writes: arguments and environment filled in, and marks by which a second call finds
        the entries of the first. Hooks of extension stages are not written; they are the caller's to run.

        Returns:
            Whether anything was to be done.

        Raises:
            DocumentError: The configuration can't be used; nothing was changed.
            ReplaceError: It can't be replaced; nothing was changed.
        """
        config = read_config(self.config_path)
        rules = [(a.stage, a.rule.file, a.rule.hook) for a in injection.additions if not a.extension]
        directories = {os.path.dirname(rule.file) for rule, _ in injection.reasons}
        hooks = merged(config.hooks, Additions(rules=rules, directories=directories))
        if hooks is None:
            return False
        data = with_member(config, "hooks", hooks)
        replace_file(self.config_path, data, expected=config.signature, durable=False)
        return True
