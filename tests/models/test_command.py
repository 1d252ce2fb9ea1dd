"""``ganwatch models``: what a person does with versions, and two of them at once."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import yaml

from ganwatch.cli import main
from ganwatch.models import files
from ganwatch.models.registry import ModelRegistry
from ganwatch.store.database import open_store

pytestmark = pytest.mark.usefixtures("saved")


def call(*words):
    return main(["models", *map(str, words)])


def promote(revision, version):
    return main(["models", "promote", "m", str(version), "--revision", str(revision), "--actor", f"p{version}"])


def test_from_a_run_to_a_rollback(saved, capsys):
    for step in (300, 600):
        assert call("register", "m", saved[step]) == 0
    assert call("promote", "m", 1, "--revision", 0, "--link", "live") == 0
    assert call("promote", "m", "candidate", "--revision", 1, "--link", "live", "--reason", "lower distance") == 0
    assert Path("live").resolve().name == json.loads(_json(capsys, "show", "m"))["versions"][1]["sha256"][:16]
    assert call("promote", "m", 1, "--revision", 1) == 4
    assert "--revision must be 2, the present one of model m, got 1; version 2 is current since" in capsys.readouterr().err
    assert call("promote", "m", 1) == 2
    assert "--revision must be 2, the present one of model m, got none" in capsys.readouterr().err
    assert call("rollback", "m", "--revision", 2, "--link", "live") == 0
    capsys.readouterr()
    assert call("resolve", "m") == 0
    path = capsys.readouterr().out.strip()
    assert Path("live").resolve() == Path(path)
    shown = json.loads(_json(capsys, "show", "m"))
    assert (shown["revision"], shown["aliases"]["current"]) == (3, 1)
    assert [one["action"] for one in shown["changes"]] == ["version promoted", "version promoted", "version rolled back"]
    assert call("show", "m") == 0
    assert "version promoted, 1 to 2" in capsys.readouterr().out


def _json(capsys, *words):
    capsys.readouterr()
    assert call(*words, "--json") == 0
    return capsys.readouterr().out


def test_of_two_promotions_in_two_processes_one_wins(saved):
    for step in (300, 600):
        call("register", "m", saved[step])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        codes = pool.starmap(promote, [(0, 1), (0, 2)])
    assert sorted(codes) == [0, 4]


def test_a_link_follows_the_last_of_two_promotions(saved, monkeypatch):
    """Another promotion takes place between the first one and its link."""
    for step in (300, 600):
        call("register", "m", saved[step])
    replace, others = files.replace_link, iter([lambda: call("promote", "m", 2, "--revision", 1)])

    def replace_late(link, target):
        for other in others:
            assert other() == 0
        replace(link, target)

    monkeypatch.setattr(files, "replace_link", replace_late)
    assert call("promote", "m", 1, "--revision", 0, "--link", "live") == 0
    with open_store("runs") as store:
        assert Path("live").resolve() == ModelRegistry(store).resolve("m")
        assert ModelRegistry(store).find("m").version.version == 2


def test_a_link_that_cannot_be_written_is_refused_before_anything_changes(saved, capsys):
    call("register", "m", saved[300])
    for link in ("saved", "x" * 250, "runs/ganwatch.db/link"):
        assert call("promote", "m", 1, "--revision", 0, "--link", link) == 2
        assert "--link must be" in capsys.readouterr().err
    assert json.loads(_json(capsys, "show", "m"))["revision"] == 0


def test_differences(saved, capsys):
    for step in (300, 600):
        call("register", "m", saved[step])
    found = {one["name"]: (one["first"], one["second"]) for one in json.loads(_json(capsys, "diff", "m", 1, 2))}
    assert found["step"] == (300, 600)
    assert found["scores.frechet.value"] == (3.0, 1.5)
    assert "provenance.packages.torch" not in found


def test_a_card_has_the_form_of_the_hub(saved, capsys):
    Path("declared.toml").write_text(
        'license = "cc-by-4.0"\ndatasets = ["digits"]\ndata_rights = "owned by us <script> | [x](y)"\nintended_use = "research"\n'
    )
    assert call("register", "m", saved[300], "--declare", "declared.toml") == 0
    assert call("card", "m", 1, "--output", "new/README.md") == 0
    text = Path("new/README.md").read_text()
    head, body = text.removeprefix("---\n").split("---\n", 1)
    metadata = yaml.safe_load(head)
    assert (metadata["license"], metadata["datasets"]) == ("cc-by-4.0", ["digits"])
    [result] = metadata["model-index"][0]["results"]
    assert {"task", "dataset", "metrics"} <= set(result)
    assert [(one["type"], one["value"]) for one in result["metrics"]] == [("frechet", 3.0)]
    assert "<script>" not in body
    assert r"\| \[x\](y)" in body
    assert "2.02 to 3.98" in body
    assert "Not declared." in body
    capsys.readouterr()
    assert call("card", "m", 1) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["register", "m"], "CHECKPOINT or --run must be given"),
        (["register", "../m", "x"], "MODEL must be"),
        (["register", "m", "missing"], "checkpoint must be"),
        (["register", "m", "saved", "--declare", "runs"], "--declare must be"),
        (["promote", "none", "1", "--revision", "0"], "MODEL must be one of the store"),
        (["resolve", "none"], "MODEL must be one of the store"),
        (["resolve", "none", "--store", "elsewhere"], "store must exist"),
        (["promote", "none", "1", "--revision", "0", "--store", "elsewhere"], "store must exist"),
        (["rollback", "m", "--revision", "-1"], "--revision must be >= 0"),
    ],
)
def test_bad_arguments(words, message, capsys):
    assert main(["models", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("elsewhere").exists()


def test_a_declaration_with_an_unknown_field_is_refused(saved, capsys):
    Path("declared.toml").write_text('licence = "mit"\n')
    assert call("register", "m", saved[300], "--declare", "declared.toml") == 2
    assert "--declare must have the fields license" in capsys.readouterr().err
