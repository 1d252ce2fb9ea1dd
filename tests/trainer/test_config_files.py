"""A configuration file is refused in one line before anything is built from it."""

import os

import pytest

from ganwatch.core.errors import UserError
from ganwatch.trainer.cli import TrainCLI

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


def parse(*words):
    return TrainCLI(list(words), build_callbacks=lambda *_: [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB.encode(), "at most 10,000 names and values"),
        (b"a: &a [*a]", "must not hold itself"),
        (b"a: " + b"[" * 5000, "at most 20 deep"),
        (b"a: " + b"[" * 60 + b"]" * 60, "at most 20 deep"),
        (b"\xff", "in UTF-8"),
        (b"a: *unknown", "found undefined alias"),
        (b"#" * 2**21, "at most 1,048,576 bytes"),
        (b"steps: " + b"9" * 5000, "at most 2,000 characters"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "--model"])
def test_a_file_that_a_parser_may_not_survive_is_refused(tmp_path, content, reason, option):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    for words in ((option, str(path)), (f"{option}={path}",)):
        with pytest.raises(UserError, match=reason) as error:
            parse(*words)
        assert "\n" not in str(error.value)


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UserError, match="--config must be a regular file"):
            parse("--config", str(path))
