"""The modifier that checks root file systems, in a file of the test, with a signed manifest."""

from __future__ import annotations

from pathlib import Path

from tests.integration.wrappers import Wrapper

from ocihooks.manifests.manifest import write_manifest
from ocihooks.manifests.signature import new_key, public_key, sign
from ocihooks.manifests.tree import walk

VERIFIER = "from ocihooks.manifests.verify import Verifier\n\nverify = Verifier({directory!r})\n"


def write_modifier(wrapper: Wrapper, text: str, name: str = "verify") -> str:
    """Write a file with a modifier of that name, and settings that name it; its word."""
    file = wrapper.directory / f"etc/{name}.py"
    file.write_text(text)
    file.chmod(0o644)
    word = f"{file}:{name}"
    wrapper.write_settings(modifiers=[word])
    return word


def write_verifier(wrapper: Wrapper, root: Path, name: str) -> Path:
    """Have the wrapper check roots against the manifest *name*, which says what *root* is; the manifest's file."""
    directory = wrapper.directory / "etc/manifests"
    (directory / "keys").mkdir(parents=True, mode=0o755)
    key = new_key()
    (directory / "keys/ours.pem").write_bytes(public_key(key, "key"))
    file = directory / f"{name}.json"
    file.write_text("\n".join(write_manifest(walk(str(root)))))
    (directory / f"{name}.json.sig").write_bytes(sign(file.read_bytes(), key, "key"))
    write_modifier(wrapper, VERIFIER.format(directory=str(directory)))
    return file
