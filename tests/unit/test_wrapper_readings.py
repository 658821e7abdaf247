"""Command lines in doubt: what all ways to read one agree on, and what is said where they don't."""

from __future__ import annotations

import pytest

from ocihooks.wrapper.arguments import changes_container, parse

EIGHT = [f"--new{number}" for number in range(8)]


@pytest.mark.parametrize(
    ("line", "one", "other"),
    [
        # A runtime that nobody named may be runc (first) or crun (second).
        pytest.param("create -b=B i", "B", "=B", id="bundle-before"),
        pytest.param("create -b=9 i", "9", "=9", id="bundle-behind"),
    ],
)
@pytest.mark.parametrize("config", ["", "--config=/F"], ids=["own", "elsewhere"])
def test_bundles(line: str, one: str, other: str, config: str) -> None:
    """Two bundles are a doubt, whichever sorts first, and also where the configuration is the same file."""
    place = ' with the configuration "/F"' if config else ""
    words = line.split()
    call = parse([words[0], *config.split(), *words[1:]], "")
    assert call.doubt == f'the runtime may take the bundle "{one}"{place} or the bundle "{other}"{place}'
    assert call.bundle == one


@pytest.mark.parametrize("bundle", ["B", "+B"])
def test_configurations(bundle: str) -> None:
    """So are two configurations of the same bundle, whichever sorts first."""
    call = parse(["create", "--config=config.json", "--bundle", bundle, "i"], "")
    named = f'the bundle "{bundle}"'
    assert call.doubt == f'the runtime may take {named} with the configuration "./config.json" or {named}'


@pytest.mark.parametrize("config", ["F", "x.json"])
def test_configuration_in_doubt(config: str) -> None:
    """A doubt names the configuration wherever it is not the usual one."""
    call = parse(["create", "--new", f"--config={config}", "--bundle=B", "i"], "runc")
    one, other = f'the bundle "B" with the configuration "{config}"', 'the bundle "B"'
    assert call.doubt == f"the runtime may take {one} or {other}"


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_agreement(flavour: str) -> None:
    """Readings with the same bundle are no doubt; all else is that of the first, in which options have no value."""
    call = parse(["--new", "--log=L", "create", "--bundle", "B", "i"], flavour)
    assert (call.bundle, call.log, call.doubt, call.refused) == ("B", "L", None, False)


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_no_container(flavour: str) -> None:
    """Where no reading makes a container, the first one counts."""
    call = parse(["--new", "--log", "L", "create", "--help"], flavour)
    assert (call.operation, call.log, changes_container(call), call.doubt) == ("create", "L", False, None)


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_first_that_is_accepted(flavour: str) -> None:
    """A reading that the runtime refuses says nothing against one that it accepts."""
    call = parse(["create", "--bundle", "B", "--new", "value", "i"], flavour)
    assert (call.bundle, call.container_id, call.doubt, call.refused) == ("B", "i", None, False)


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_eight_options(flavour: str) -> None:
    """Eight options that nobody knows are read in every way, and need be no doubt."""
    call = parse(["create", *EIGHT, "--bundle", "B", "i"], flavour)
    assert (call.bundle, call.doubt, call.refused) == ("B", None, False)


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_nine_options(flavour: str) -> None:
    """A ninth is a doubt of its own, so that reading takes no longer, and the line is not left to the runtime."""
    call = parse(["create", *EIGHT, "--another", "--bundle", "B", "i"], flavour)
    assert call.doubt == "the command line has too many options that ocihooks doesn't know"
    assert (call.bundle, call.refused) == ("B", False)


@pytest.mark.parametrize("flavour", ["runc", "crun", ""])
def test_create_behind_many_options(flavour: str) -> None:
    """With too many options, a create is still found that stands behind the value of one of them."""
    call = parse([*EIGHT, "--another", "value", "create", "--bundle", "B", "i"], flavour)
    assert (call.operation, call.bundle, changes_container(call)) == ("create", "B", True)
    assert not call.refused
