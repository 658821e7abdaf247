"""Handing out files of ConfigMaps: copies can be trusted, follow their source, and leave others' files alone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.deploy.conftest import config_map_volume

IMAGE_CODE = Path(__file__).parents[2] / "deploy/image"
PROGRAM = os.path.join(sysconfig.get_path("scripts"), "ocihooks")
RULE = '{"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"always": true}, "stages": ["prestart"]}'


def mirror(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command once."""
    command = [sys.executable, "-m", "ocihooks_image.mirror", "--once", *words]
    environment = {**os.environ, "PYTHONPATH": str(IMAGE_CODE), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def trusted(directory: Path) -> bool:
    """Whether root may go by the rules in *directory*."""
    settings = directory.with_name("settings.toml")
    settings.write_text(f'[ocihooks]\nhooks-dirs = ["{directory}"]\n')
    words = [PROGRAM, "check", "--settings", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) != ("everybody may write it" in done.stdout + done.stderr), done
    return done.returncode == 0


def test_copies_can_be_trusted(private_directory: Path) -> None:
    """A volume that everybody can write is made private, and rules in it count; as the kubelet mounts them, not."""
    source = config_map_volume(private_directory / "rules", {"10-a.json": RULE})
    volume = private_directory / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    done = mirror(f"--private={volume}", f"--ready={volume}/.ready", f"{source}:{volume}/hooks.d:644")
    assert (done.returncode, done.stderr) == (0, f"ocihooks: {volume}/hooks.d/10-a.json: copied\n")
    assert (volume / ".ready").exists()
    assert trusted(volume / "hooks.d")
    assert not trusted(source)


def test_copies_follow_their_source(private_directory: Path) -> None:
    """Files change, come and go with the ConfigMap; files of others in the same directory stay."""
    source = config_map_volume(private_directory / "programs", {"a": "1", "b": "1"})
    target = private_directory / "hooks"
    target.mkdir()
    (target / "theirs").write_text("1")
    assert mirror(f"{source}:{target}:755").returncode == 0
    config_map_volume(source, {"b": "2", "c": "1"})
    assert mirror(f"{source}:{target}:755").returncode == 0
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in target.glob("[!.]*")}
    assert found == {"b": ("2", 0o755), "c": ("1", 0o755), "theirs": ("1", 0o644)}


def test_files_of_others_are_not_overwritten(private_directory: Path) -> None:
    """A name that is taken is told, and nothing is copied; a file with the same bytes is no trouble."""
    source = config_map_volume(private_directory / "rules", {"a": "ours", "b": "same"})
    target = private_directory / "hooks.d"
    target.mkdir()
    (target / "b").write_text("same")
    (target / "a").write_text("theirs")
    done = mirror(f"{source}:{target}:644")
    assert done.returncode == 1
    assert f"{target}/a: is there and was not copied by us; hint: rename one of the two" in done.stderr
    assert sorted(path.name for path in target.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("rules:/hooks.d:644", id="relative source"),
        pytest.param("/rules:/hooks.d", id="no mode"),
        pytest.param("/rules:/hooks.d:777", id="everybody may write"),
    ],
)
def test_words_that_mean_nothing(words: str) -> None:
    """They are refused with what was expected."""
    done = mirror(words)
    assert done.returncode == 2
    assert "expected SOURCE:TARGET:644 or :755 with absolute paths" in done.stderr
