"""Real runtimes for the pages that are about them: the fixtures of the integration tests."""

from tests.integration.conftest import (  # noqa: F401  (pytest finds fixtures here by their names)
    cgroup_view,
    crun_view,
    installed_runtime,
    notes,
    runtime,
)
