"""Which packages come along with which import; `lint-imports` holds the order of the layers."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import ganwatch
import ganwatch.core

HEAVY = {"torch", "numpy", "scipy", "sqlmodel", "sqlalchemy", "prometheus_client", "lightning", "pandas", "streamlit", "sklearn"}
CORE = sorted(f"ganwatch.core.{module.name}" for module in pkgutil.iter_modules(ganwatch.core.__path__))


def _brought(code: str) -> set[str]:
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "code",
    [
        "import ganwatch",
        ";".join(f"import {name}" for name in CORE),
        "from ganwatch.session.defaults import default_detectors; default_detectors()",
        "from ganwatch import cli; cli.parser()",
        "import ganwatch.testing",
    ],
)
def test_nothing_heavy_comes_along(code: str) -> None:
    assert not _brought(code) & HEAVY


def test_the_package_shows_what_it_imports_on_first_use() -> None:
    assert {"FreshDataDrift", "GanWatch", "auto", "watch", "__version__"} <= set(dir(ganwatch))
    assert not _brought("import ganwatch; assert 'watch' in dir(ganwatch)") & HEAVY


def test_lightning_stays_out_of_what_the_other_front_ends_stand_on() -> None:
    brought = _brought(
        "import ganwatch.session.observer\n"
        "from ganwatch.session.defaults import default_probes, default_sinks\n"
        "default_probes(); default_sinks(None)"
    )
    assert "torch" in brought
    assert not brought & {"lightning", "streamlit", "sklearn", "pandas"}
