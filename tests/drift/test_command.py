"""``ganwatch drift`` from the command line to the store."""

from __future__ import annotations

import json
from pathlib import Path

import lightning
import numpy as np
import pytest
from PIL import Image

from ganwatch.cli import main
from ganwatch.core.errors import UserError
from ganwatch.drift import report as reports
from ganwatch.drift import schedule, sequential
from ganwatch.drift.record import recorded_checks
from ganwatch.store.database import open_store
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidently takes five seconds, and has a test of its own."""
    monkeypatch.setattr(reports, "write_report", lambda *_, **__: Path("drift.html"))


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = main(["drift", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_generator_is_accepted_watched_and_rolled_back(saved, run: str, capsys) -> None:
    given = ("--baseline", saved("baseline"), "--fresh", saved("fresh"), "--run", "mine")
    code, first = called(capsys, *given, "--generated", saved("good", 0.3), "--accept")
    assert (code, first["regression"], len(first["notes"])) == (0, None, 1)
    code, second = called(capsys, *given, "--generated", saved("as good", 0.3))
    assert (code, second["verdict"]) == (0, "unchanged")
    code, third = called(capsys, *given, "--generated", saved("worse", 0.8))
    assert (code, third["verdict"]) == (11, "generator_regressed")
    assert third["regression"]["low"] > 0
    given = ("--baseline", saved("baseline"), "--fresh", saved("moved", 0.7), "--run", run)
    code, fourth = called(capsys, *given, "--generated", saved("better"))
    assert (code, set(fourth["changed_columns"])) == (10, {"x0", "x1", "x2", "x3", "x4"})
    with open_store("runs", create=False) as store:
        kept = recorded_checks(store, run)
    assert [check.detail["verdict"] for check in kept] == ["unchanged", "unchanged", "generator_regressed", "world_moved"]
    assert kept[2].detail == third
    assert Path(third["report"]).name == "drift.html"


def test_a_reference_can_be_given(saved, capsys) -> None:
    given = ("--baseline", saved("baseline"), "--fresh", saved("moved", 0.7), "--reference", saved("good", 0.1))
    code, found = called(capsys, *given, "--generated", saved("worse", 0.8))
    assert (code, found["verdict"], found["samples"]["reference"]) == (12, "both", 300)


def test_a_checkpoint_is_drawn_from(saved, tmp_path: Path, capsys) -> None:
    lightning.seed_everything(0, verbose=False)
    fit(GAN(channels=4), GANData(), steps=1, root=tmp_path, checkpoint_every=1, threads=1)
    code, found = called(capsys, "--baseline", "digits:1/6", "--fresh", "digits:2/6", "--model", str(tmp_path / "last.ckpt"))
    assert code == 0
    assert found["to_baseline"]["effect"] > 10 * found["world"]["effect"]
    assert found["to_fresh"]["p_value"] == 0.001
    assert found["provenance"]["extractor"]["name"] == "random-conv"


def test_people_read_what_moved_and_what_was_left_out(saved, capsys) -> None:
    broken = np.random.default_rng(0).normal(0.6, size=(200, 5))
    broken[3, 0] = np.nan
    assert main(["drift", "--baseline", saved("baseline"), "--fresh", saved("fresh", array=broken)]) == 10
    shown = capsys.readouterr().out
    assert shown.startswith("world_moved: ")
    assert "changed: x" in shown
    assert "fresh: 1 of 200 left out, 3: " in shown


def test_folders_of_images_of_any_size_are_compared(saved, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    for name, shapes in {"baseline": ((8, 8, 3), (12, 10, 3)), "fresh": ((12, 10, 3),)}.items():
        for kind in "ab":
            (tmp_path / name / kind).mkdir(parents=True)
        for index in range(80):
            pixels = rng.integers(0, 200, size=shapes[index % len(shapes)], dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / ("a" if index % 4 else "b") / f"{index}.png")
    (tmp_path / "fresh" / "a" / "broken.png").write_bytes(b"no image")
    code, found = called(capsys, "--baseline", "baseline", "--fresh", "fresh")
    assert found["samples"] == {"baseline": 80, "fresh": 80}
    assert {"height", "width"} <= set(found["changed_columns"])
    assert {"saturation", "label a"} <= {column["name"] for column in found["columns"]}
    assert found["provenance"]["sides"]["fresh"]["skipped"] == 1
    assert code in {0, 10}  # whether noise of two sizes is one distribution is up to the features
    code, resized = called(capsys, "--baseline", "baseline", "--fresh", "fresh", "--features", "identity", "--size", "8")
    assert resized["provenance"]["extractor"]["preprocessing"]["size"] == 8


def test_too_few_samples_are_a_verdict(saved, capsys) -> None:
    code, found = called(capsys, "--baseline", saved("baseline"), "--fresh", saved("fresh", count=1))
    assert (code, found["verdict"], found["notes"]) == (3, "insufficient_data", ["fresh has 1 samples, 50 are needed"])


def test_the_verdict_stands_without_a_report(saved, run: str, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> Path:
        raise UserError("report must be a file that can be written")

    monkeypatch.setattr(reports, "write_report", failing)
    assert main(["drift", "--baseline", saved("baseline"), "--fresh", saved("moved", 0.7), "--run", run, "--json"]) == 10
    out, err = capsys.readouterr()
    assert json.loads(out)["report"] is None
    assert "no report: report must be a file" in err
    with open_store("runs", create=False) as store:
        assert len(recorded_checks(store, run)) == 1


def test_a_baseline_that_is_too_small_for_a_schedule_is_a_verdict(saved, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "due_times", lambda _: [0.0])
    assert main(["drift", "--baseline", saved("baseline", count=10), "--fresh", saved("fresh"), "--every", "1h", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "insufficient_data"


def test_again_and_again_at_a_level_for_a_year(saved, run: str, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = [saved(f"day {day}", mean) for day, mean in enumerate((0.0, 0.0, 0.0, 0.9))]

    def days(every: float):
        assert every == 86_400
        for day in range(5):
            Path("fresh.npy").unlink(missing_ok=True)
            if day < 4:
                Path("fresh.npy").symlink_to(fresh[day])
            yield float(day)

    monkeypatch.setattr(schedule, "due_times", days)
    monkeypatch.setattr(sequential, "_DRAWS", 4000)  # how well the level is kept has a test of its own
    baseline = saved("baseline", count=2000)
    assert main(["drift", "--baseline", baseline, "--fresh", "fresh.npy", "--run", "mine", "--every", "24h", "--json"]) == 0
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["verdict"] for one in found] == ["unchanged"] * 3 + ["world_moved"]
    assert found[0]["check"]["calibration"]["checks"] == 365
    assert "fresh must be an existing path" in err  # the fifth day has no data, which ends nothing
    with open_store("runs", create=False) as store:
        assert len(recorded_checks(store, run)) == 4


def test_a_check_is_due_when_the_interval_is_over_however_long_the_last_one_took() -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    due = schedule.due_times(10.0, clock=lambda: now[0], sleep=sleep)
    took = [0.0, 4.0, 25.0, 0.0]
    moments = []
    for seconds in took:
        moments.append(next(due))
        now[0] += seconds
    assert moments == [100.0, 110.0, 120.0, 150.0]
    assert slept == [10.0, 6.0, 5.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generated", "{other}"], "vectors (5,) in baseline and vectors (3,) in generated"),
        (["--features", "discriminator"], "--features discriminator needs --model, and goes without --size"),
        (["--accept"], "--accept needs --run and one of --model and --generated"),
        (["--every", "24h", "--generated", "{other}"], "--every checks the real data alone"),
        (["--every", "never"], "every must be a number and a unit (s, m, h, d) from 1s to 365d, such as 24h, got 'never'"),
        (["--level", "2"], "--level must be in (0, 1), got 2.0"),
        (["--run", "mine"], "store must exist"),
        (["--model", "none.ckpt"], "--model must be a checkpoint of ganwatch train, got 'none.ckpt', which is not there"),
        (["--model", "{other}"], "of another generator, give samples"),
        (["--features", "random-conv"], "features must be identity"),
        (["--fresh", "digits"], "both sides must hold images, or both vectors, got vectors (5,) in baseline and images (1, 8, 8) in fresh"),
        (["--fresh", "nowhere"], "fresh must be an existing path"),
    ],
)
def test_bad_input_is_named_and_has_an_exit_code_of_its_own(saved, capsys, arguments: list[str], message: str) -> None:
    other = saved("other", array=np.ones((100, 3)))
    given = ["drift", "--baseline", saved("baseline"), "--fresh", saved("fresh"), *(one.format(other=other) for one in arguments)]
    assert main(given) == 2
    assert message in capsys.readouterr().err


def test_a_reference_of_other_features_or_another_file_is_refused(saved, run: str, capsys) -> None:
    given = ["drift", "--baseline", "digits:1/6", "--fresh", "digits:2/6", "--generated", "digits:3/6", "--run", run]
    assert main([*given, "--accept"]) == 0
    assert main([*given, "--features", "identity"]) == 2
    assert "accept the generator anew with --accept" in capsys.readouterr().err
    [kept] = Path("runs/artifacts").rglob("accepted-*.npy")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert main(given) == 2
    assert "reference must be the file that was written, SHA-256" in capsys.readouterr().err
    kept.unlink()
    assert main(given) == 2
    assert "got no file" in capsys.readouterr().err
