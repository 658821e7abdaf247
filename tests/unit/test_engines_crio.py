"""CRI-O's configuration: later files count before earlier ones, key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocihooks.engines.crio import CRIO
from ocihooks.engines.files import read_config_file

DEFAULT = ("/usr/share/containers/oci/hooks.d",)


@pytest.mark.parametrize(
    ("main", "drop_in", "hooks_dirs"),
    [
        pytest.param("", "", DEFAULT, id="nobody-says"),
        pytest.param('hooks_dir = ["/a", "/b"]', "", ("/a", "/b"), id="main-file"),
        pytest.param('hooks_dir = ["/a"]', 'hooks_dir = ["/b"]', ("/b",), id="drop-in"),
        pytest.param("hooks_dir = []", "", (), id="none"),
        pytest.param('hooks_dir = ["/a"]', "hooks_dir = []", (), id="none-any-more"),
        pytest.param("hooks_dir = []", 'hooks_dir = ["/b"]', ("/b",), id="again"),
    ],
)
def test_hooks_dirs(main: str, drop_in: str, hooks_dirs: tuple[str, ...], tmp_path: Path) -> None:
    """The directories of the last file that names any; an empty array says that there are none."""
    (tmp_path / "crio.conf.d").mkdir()
    (tmp_path / "crio.conf").write_text(f"[crio.runtime]\n{main}\n")
    (tmp_path / "crio.conf.d/10").write_text(f"[crio.runtime]\n{drop_in}\n")
    found = CRIO().read(str(tmp_path / "crio.conf"), (1, 31), read_config_file)
    assert found.hooks_dirs == hooks_dirs
