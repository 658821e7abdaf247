"""The wrappers that are installed below a prefix: of the version that is installed, or gone."""

from __future__ import annotations

import glob
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ocihooks_program import is_missing, said

DOCUMENTATION = """
module: ocihooks_wrappers
short_description: Bring installed wrappers of ocihooks up to date, or uninstall them
description:
  - Wrappers are installed by M(ocihooks_engine); this one makes them follow the version of the package.
author: The authors of ocihooks
options:
  program: {description: The program ocihooks., type: path, required: true}
  prefix: {description: Below which wrappers are installed., type: path, default: /usr/local}
  state_dir: {description: Where undo records are kept., type: path, default: /var/lib/ocihooks}
  state: {description: What is wanted., choices: [current, absent], default: current}
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "program": {"type": "path", "required": True},
    "prefix": {"type": "path", "default": "/usr/local"},
    "state_dir": {"type": "path", "default": "/var/lib/ocihooks"},
    "state": {"choices": ["current", "absent"], "default": "current"},
}


def installed(prefix: str) -> list[dict[str, Any]]:
    """The records of the wrappers below *prefix*."""
    records = []
    for file in sorted(glob.glob(f"{glob.escape(prefix)}/lib/ocihooks/*.json")):
        with open(file, encoding="utf-8") as stream:
            records.append(json.load(stream))
    return records


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    prefix, is_absent = module.params["prefix"], module.params["state"] == "absent"
    records = [one for one in installed(prefix) if is_absent or one["program"] == "ocihooks-runtime"]
    if not records or (is_missing(module) and module.check_mode):
        module.exit_json(changed=False, wrappers=[])
    if not is_absent:
        version = said(module, "--version").split()[-1]
        records = [one for one in records if one["version"] != version]
    for record in () if module.check_mode else records:
        common = ["--prefix", prefix, "--name", record["name"]]
        if is_absent:
            said(module, "uninstall", *common, "--state-dir", module.params["state_dir"])
        else:
            said(module, "install", *common, "--runtime", record["runtime"], *options_of(record))
    module.exit_json(changed=bool(records), wrappers=[record["script"] for record in records])


def options_of(record: dict[str, Any]) -> list[str]:
    """What else an installation was told, as options."""
    words = [word for path in record["hooks_dirs"] for word in ("--hooks-dir", path)]
    words += ["--settings", record["settings"]] if record["settings"] else []
    return words + (["--cache-dir", record["cache_dir"]] if record["cache_dir"] else [])


if __name__ == "__main__":
    main()
