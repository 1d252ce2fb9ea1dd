"""Folders and files, through the command."""

import json
import tracemalloc
from functools import partial

import numpy as np
import pytest
from PIL import Image

from ganwatch.audit import audit as timed_audit
from ganwatch.audit.descriptor import describe
from ganwatch.cli import parser
from ganwatch.core.errors import UserError

audit = partial(timed_audit, clock=lambda: 0.0)
"""The audit with a clock that stands still, so that no budget is ever spent."""


@pytest.fixture
def folder(tmp_path, images, labels):
    """1,100 digits as PNG files in a subfolder for each label."""
    for index, (image, label) in enumerate(zip(images[:1100], labels, strict=False)):
        place = tmp_path / "data" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(((image + 1) * 127.5).astype(np.uint8)).save(place / f"{index:04}.png")
    return tmp_path / "data"


def _run(*words):
    args = parser().parse_args(["audit", *map(str, words), "--budget", "1e9"])
    return args.handler(args)


def test_a_healthy_folder(folder, capsys):
    assert _run(folder, "--json", "--range", -1, 1) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["size"] == 1100
    assert report["results"]["balance"] == "passed"
    assert report["results"]["value-range"].startswith("not applicable: files hold raw pixels")


def test_every_fault_of_a_folder_is_reported_with_its_path(folder, capsys):
    files = sorted(folder.rglob("*.png"))
    files[3].write_bytes(files[3].read_bytes()[:-30])
    files[4].write_bytes(b"")
    (folder / "0" / "copy.png").write_bytes(files[0].read_bytes())
    Image.new("RGBA", (9, 9), "red").save(folder / "1" / "stray.png")
    assert _run(folder, "--held-out", folder / "0", "--json") == 1
    found = {finding["check"]: finding["examples"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["unreadable"] == [str(files[3]), str(files[4])]
    assert found["duplicates"] == [str(files[0]), str(folder / "0" / "copy.png")]
    assert found["shapes"] == [str(folder / "1" / "stray.png")]
    assert found["constant"] == [str(folder / "1" / "stray.png")]
    assert str(files[0]) in found["overlap"]
    assert set(found) == {"unreadable", "duplicates", "shapes", "constant", "overlap"}


def test_a_label_without_files(folder):
    (folder / "unused").mkdir()
    assert "'unused' 0 times" in audit(folder).findings[0].explanation


def test_the_command_prints_a_readable_report(images, tmp_path, capsys):
    images[7] = 0.0
    np.save(tmp_path / "images.npy", images)
    assert _run(tmp_path / "images.npy") == 1
    assert "examples: 7" in capsys.readouterr().out
    assert _run("digits", "--range", -1, 1) == 0
    assert "0 warning(s)" in capsys.readouterr().out


def test_archives_bring_their_labels(images, labels, tmp_path):
    np.savez(tmp_path / "digits.npz", x=images, y=labels)
    assert audit(tmp_path / "digits.npz").results["balance"] == "passed"


def test_what_is_no_data_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.npy").write_text("hello")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name, message in {
        "empty": "got none below",
        "text.txt": "must be a folder of images, an .npy or .npz file",
        "text.npy": "must be a readable NumPy file",
        "objects.npy": "must be a readable NumPy file",
        "other.npz": "must hold an array named one of",
    }.items():
        with pytest.raises(UserError, match=message):
            audit(tmp_path / name)


def test_an_empty_name_is_not_the_folder_one_is_in():
    with pytest.raises(UserError, match=r"data must be an existing path, .* got an empty text"):
        _run("")


def test_a_large_image_is_described_without_a_copy_in_double_precision():
    image = np.zeros((5000, 5000, 3), np.uint8)
    tracemalloc.start()
    describe(image, channels=3, side=12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes / 2
