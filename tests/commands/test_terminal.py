"""Tables, text and progress: plain in a pipe, drawn by rich on a terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ganwatch.cli import main
from ganwatch.commands._terminal import SampleProgress, count_items, format_table, print_table, print_text
from ganwatch.core.clean_text import terminal_text

HOSTILE = "\x1b]0;title\x07\x1b[31mred\rback\u202eright-to-left\udc80"
ESCAPE = "\x1b"


@dataclass(eq=False)
class Stream:
    argument: str
    sample_size: int
    skipped: int = 0

    def report(self) -> dict[str, int]:
        return {"skipped": self.skipped}


@pytest.fixture
def open_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], pytest.CaptureFixture[str]]:
    """Turns standard output and standard error into a terminal of 40 columns; a test calls it, as pytest swaps the streams before that."""

    def start() -> pytest.CaptureFixture[str]:
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "40")
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        return capsys

    return start


def test_no_character_of_a_name_controls_the_terminal() -> None:
    text = terminal_text(HOSTILE)
    assert text == r"\x1b]0;title\x07\x1b[31mred\rback\u202eright-to-left\udc80"
    assert text.isprintable()
    assert terminal_text("Zoë [bold] 東京 ↔ :smile:") == "Zoë [bold] 東京 ↔ :smile:"


def test_text_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("first", f"second\nforged {HOSTILE}")
    assert capsys.readouterr().out == f"first\nsecond\\nforged {terminal_text(HOSTILE)}\n"


@pytest.mark.parametrize("force", ["", "1"])
def test_a_pipe_gets_plain_text_of_any_width(force: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", force)
    long = "a name of many words " * 40
    print_table(["NAME", "STEP"], [[long + "end", 3], ["[red]short[/red]", None], [HOSTILE, 1]])
    head, first, second, third = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "STEP"]
    assert first == f"{long}end  3"
    assert second.split() == ["[red]short[/red]", "None"]
    assert third.startswith(terminal_text(HOSTILE) + " ")


def test_columns_are_as_wide_as_their_cells_are_on_a_screen() -> None:
    lines = format_table(["A", "B"], [["東京", 1], ["", 22]]).splitlines()
    assert lines == ["A     B", "東京  1", "      22"]
    assert format_table(["A", "B"], []) == "A  B"


def test_a_terminal_gets_a_table_of_its_width(
    open_terminal: Callable[[], pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    print_table(["NAME", "STEP"], [["word " * 30, 3], [f"[red]{HOSTILE}", 1]])
    shown = terminal.readouterr().out
    assert f"{ESCAPE}[1m" in shown  # the head is bold
    assert "[red]\\x1b" in shown
    assert max(len(line.replace(f"{ESCAPE}[1m", "").replace(f"{ESCAPE}[0m", "")) for line in shown.splitlines()) <= 40
    assert f"{ESCAPE}[31m" not in shown
    assert f"{ESCAPE}]" not in shown
    monkeypatch.setenv("TERM", "dumb")
    print_table(["NAME"], [["word " * 30]])
    shown = terminal.readouterr().out
    assert ESCAPE not in shown
    assert max(map(len, shown.splitlines())) <= 80  # what rich takes a dumb terminal for


def test_no_color_is_respected(open_terminal: Callable[[], pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal()
    colours = [f"{ESCAPE}[{code}" for code in range(30, 39)]
    with SampleProgress() as progress:
        progress(Stream("REAL", 10), 10)
    shown = terminal.readouterr().err
    assert any(colour in shown for colour in colours)
    monkeypatch.setenv("NO_COLOR", "1")
    with SampleProgress() as progress:
        progress(Stream("REAL", 10), 10)
    shown = terminal.readouterr().err
    assert "REAL" in shown
    assert not any(colour in shown for colour in colours)


def test_progress_in_a_pipe_is_a_line_per_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with SampleProgress() as progress:
        real, fake = Stream("REAL", 1000, skipped=100), Stream("FAKE", 4)
        for count in (100, 100, 400, 300):
            progress(real, count)
        progress(fake, 4)
    lines = ["REAL 300/1,000 samples", "REAL 700/1,000 samples", "REAL 1,000/1,000 samples", "FAKE 4/4 samples"]
    assert capsys.readouterr() == ("", "".join(f"{line}\n" for line in lines))


def test_progress_on_a_terminal_is_a_bar_per_side(open_terminal: Callable[[], pytest.CaptureFixture[str]]) -> None:
    terminal = open_terminal()
    with SampleProgress() as progress:
        real = Stream("REAL", 10, skipped=1)
        progress(real, 4)
        progress(real, 5)
        progress(Stream("[bold]", 8), 3)
    out, err = terminal.readouterr()
    assert out == ""
    assert "REAL" in err
    assert "10/10" in err
    assert "[bold]" in err
    assert err.count(f"{ESCAPE}[?25l") == err.count(f"{ESCAPE}[?25h") == 2  # the cursor comes back


def test_items_are_counted_on_a_terminal_alone(
    open_terminal: Callable[[], pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    assert list(count_items("abc", "runs")) == ["a", "b", "c"]
    assert "3 runs" in terminal.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert list(count_items("abc", "runs")) == ["a", "b", "c"]
    assert terminal.readouterr().err == ""


def test_an_error_that_quotes_a_hostile_name_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--store", "no\x1b[31m/where"]) == 2
    assert ESCAPE not in capsys.readouterr().err


def test_help_imports_nothing_slow() -> None:
    slow = {"torch", "numpy", "scipy", "rich", "lightning", "sqlalchemy"}
    code = f"import sys\nfrom ganwatch.cli import parser\nparser().format_help()\nprint(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", ["runs", "incidents", "dashboard", "demo", "drill", "drift"])
def test_a_store_is_named_alike_everywhere(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--store STORE folder, SQLite file or SQLAlchemy URL that holds the runs (default: runs)" in text
