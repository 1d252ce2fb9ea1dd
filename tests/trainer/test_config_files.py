"""A configuration file is refused in one line before anything is built from it."""

import os

import pytest

from ganwatch.core.errors import UserError
from ganwatch.trainer.cli import TrainCLI
from ganwatch.trainer.config_files import MAX_NODES, check_config_files

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB.encode(), "it has more than 100,000 values"),
        (b"a: &a [*a]", "or 50 levels"),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"a: " + b"[" * 60 + b"]" * 60, "or 50 levels"),
        (b"\xff", "UnicodeDecodeError"),
        (b"a: *unknown", "ComposerError: found undefined alias"),
        (b"#" * 2**21, "at most 1,048,576 bytes"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "--model"])
def test_a_file_that_a_parser_may_not_survive_is_refused(tmp_path, content, reason, option):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    for arguments in ([option, str(path)], [f"{option}={path}"]):
        with pytest.raises(UserError, match=reason) as error:
            check_config_files(arguments)
        assert "\n" not in str(error.value)


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UserError, match="--config must be a regular file"):
            check_config_files(["--config", str(path)])
    check_config_files(["--config"])
    check_config_files(["--config", "nothing", "--steps=3", f"--store={tmp_path}"])
    assert MAX_NODES > 1000


def test_a_number_that_cannot_be_read_is_one_line(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"steps: {'9' * 5000}")
    with pytest.raises(UserError, match="arguments must be a configuration that can be read, got ValueError: Exceeds the limit"):
        TrainCLI(["--config", str(path)], build_callbacks=lambda *_: [])
