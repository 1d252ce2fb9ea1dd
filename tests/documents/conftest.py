"""The documents, and a folder with everything that their commands and examples name."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "alerts" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^([ ]*)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    """Every block of a language, in the order of the documents."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        for match in BLOCK.finditer(text):
            if match[2] == language:
                lines = [line.removeprefix(match[1]) for line in match[3].splitlines()]
                found.append(Block(str(path.relative_to(ROOT)), text.count("\n", 0, match.start()) + 1, language, "\n".join(lines)))
    return found


def _write_images(folder: Path, digits: slice) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    folder.mkdir()
    for index, pixels in enumerate(load_digits().images[digits]):
        Image.fromarray((pixels * 15.9).astype("uint8")).save(folder / f"{index:03}.png")


def _write_run(store: Path) -> None:
    """Store the recorded demo with a range mismatch."""
    from ganwatch.core.monitor import Monitor
    from ganwatch.core.readings import Run
    from ganwatch.recordings import read_recordings
    from ganwatch.session.defaults import default_detectors
    from ganwatch.sinks.sql import SqlSink
    from ganwatch.store.database import open_store

    [recording] = read_recordings(ROOT / "tests" / "recorded" / "range-mismatch-0.parquet")
    monitor = Monitor(detectors=default_detectors(), sinks=[SqlSink(open_store(str(store)))])
    monitor.start(Run("3ae8d3de124d", "demo range-mismatch non-saturating", started=1.0))
    for readings in recording.readings:
        monitor.add_readings(readings)
    monitor.finish("finished")


def _write_events(folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step in range(1, 30):
            writer.add_scalar("loss/g", 0.7, step)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents name: data, a checkpoint, runs, recordings, a preset."""
    import numpy as np

    from ganwatch.cli import main
    from ganwatch.core.detector_settings import arguments_at, write_preset
    from ganwatch.detectors.mode_collapse import ModeCollapse

    folder = tmp_path_factory.mktemp("documents")
    _write_images(folder / "train", slice(0, 60))
    _write_images(folder / "fresh", slice(60, 120))
    np.save(folder / "drawn.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), "uint8"))
    _write_run(folder / "runs")
    _write_events(folder / "events")
    (folder / "theirs.csv").write_text("step,errG\n" + "".join(f"{step},0.7\n" for step in range(1, 30)))
    (folder / "long.csv").write_text("step,series,value\n" + "".join(f"{step},loss/g,0.7\n" for step in range(1, 30)))
    write_preset(folder / "preset.toml", {"GW101": arguments_at(ModeCollapse, 0.5)}, {})
    (folder / "my-healthy-runs").mkdir()
    shutil.copy(ROOT / "tests" / "recorded" / "wgan-gp-0.parquet", folder / "my-healthy-runs")
    for name in ("tests", "examples"):
        (folder / name).symlink_to(ROOT / name)
    trained = folder / "trained"
    config = str(ROOT / "examples" / "configs" / "digits.yaml")
    assert main(["train", "--config", config, "--steps", "2", "--root", str(trained), "--store", str(trained)]) == 0
    for name in ("last.ckpt", "candidate.ckpt", "current.ckpt"):
        shutil.copy(trained / "last.ckpt", folder / name)
    return folder


@pytest.fixture
def frozen() -> Iterator[None]:
    """Hide what is imported by now from searches for objects, such as that for random generators: they take a tenth of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: None) -> Path:
    """A copy of it, as the current folder."""
    folder = tmp_path / "world"
    shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder
