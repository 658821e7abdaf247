"""The handler of the wrapper in an engine's configuration, there or not."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ocihooks_program import is_missing, said

DOCUMENTATION = """
module: ocihooks_engine
short_description: Make an engine start containers through the wrapper of ocihooks, or undo that
description:
  - What it changes is what C(ocihooks configure) and C(ocihooks unconfigure) change; see their help.
  - In check mode nothing is written; the difference is that of the engine's files.
author: The authors of ocihooks
options:
  program: {description: The program ocihooks., type: path, required: true}
  engine: {description: The engine., choices: [docker, containerd, crio, podman, buildah], required: true}
  state: {description: Whether the handler is to be there., choices: [present, absent], default: present}
  name: {description: The handler., default: ocihooks, type: str}
  config: {description: The engine's main configuration file., type: path}
  base: {description: The handler in front of whose runtime the wrapper stands., type: str}
  default: {description: Whether to make it the default handler., type: bool, default: false}
  annotations: {description: Annotations that containerd is to hand on., type: list, elements: str, default: []}
  prefix: {description: Below which wrappers are installed., type: path, default: /usr/local}
  state_dir: {description: Where undo records are kept., type: path, default: /var/lib/ocihooks}
  reload: {description: Whether to make the running engine use the change., type: bool, default: true}
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "program": {"type": "path", "required": True},
    "engine": {"choices": ["docker", "containerd", "crio", "podman", "buildah"], "required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "name": {"default": "ocihooks"},
    "config": {"type": "path"},
    "base": {},
    "default": {"type": "bool", "default": False},
    "annotations": {"type": "list", "elements": "str", "default": []},
    "prefix": {"type": "path", "default": "/usr/local"},
    "state_dir": {"type": "path", "default": "/var/lib/ocihooks"},
    "reload": {"type": "bool", "default": True},
}


def call_for(wanted: dict[str, Any]) -> list[str]:
    """The command that makes it so."""
    is_present = wanted["state"] == "present"
    words = ["configure" if is_present else "unconfigure", wanted["engine"], "--name", wanted["name"]]
    words += ["--prefix", wanted["prefix"], "--state-dir", wanted["state_dir"]]
    words += ["--config", wanted["config"]] if wanted["config"] else []
    if is_present:
        words += ["--base", wanted["base"]] if wanted["base"] else []
        words += ["--default"] if wanted["default"] else []
        words += [word for pattern in wanted["annotations"] for word in ("--annotations", pattern)]
    return words


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    is_present = module.params["state"] == "present"
    if is_missing(module) and (module.check_mode or not is_present):
        module.exit_json(changed=is_present, msg="ocihooks is not installed")
    call = call_for(module.params)
    would = json.loads(said(module, *call, "--dry-run", "--json"))
    if would["changed"] and not module.check_mode:
        said(module, *call, *(["--reload"] if module.params["reload"] else []))
    module.exit_json(changed=would["changed"], diff=[{"prepared": one["diff"]} for one in would["files"]])


if __name__ == "__main__":
    main()
