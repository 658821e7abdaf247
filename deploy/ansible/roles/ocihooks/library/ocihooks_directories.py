"""Directories that are to go if nobody uses them."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: ocihooks_directories
short_description: Remove directories that are empty
description:
  - Each is removed if it is empty then; others stay as they are.
author: The authors of ocihooks
options:
  paths: {description: The directories; inner ones first., type: list, elements: path, required: true}
"""


def main() -> None:
    """Run the module."""
    arguments = {"paths": {"type": "list", "elements": "path", "required": True}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    removed: list[str] = []
    for path in module.params["paths"]:
        if os.path.isdir(path) and not {os.path.join(path, name) for name in os.listdir(path)} - set(removed):
            removed.append(path)
            if not module.check_mode:
                os.rmdir(path)
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
