"""Tests notice changes of the code that decides."""

import ast

import pytest
from mutants import MIN_KILLED_SHARE, ROOT, TARGETS, mutants, named, sample, survivors


@pytest.mark.slow
def test_most_changes_are_noticed():
    changes = sample(100, seed=0)
    assert len(survivors(changes)) <= (1 - MIN_KILLED_SHARE) * len(changes)


@pytest.mark.slow
def test_changes_that_went_unnoticed_once_are_noticed():
    assert survivors(named()) == []


def test_every_change_is_one_line_of_python_and_another_one():
    for pattern in TARGETS:
        for path in ROOT.glob(pattern):
            lines = path.read_text().splitlines(keepends=True)
            for mutant in mutants(path):
                assert mutant.before != mutant.after
                ast.parse("".join([*lines[: mutant.line - 1], mutant.after + "\n", *lines[mutant.line :]]))


def test_the_lines_that_went_unnoticed_are_still_there():
    assert all(mutant.before != mutant.after for mutant in named())
