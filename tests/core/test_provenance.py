"""What is recorded of a run's surroundings, and what is not."""

import sys

import pytest

from ganwatch.core.provenance import collect_provenance, fingerprint, to_plain


@pytest.mark.parametrize(
    "argument",
    [
        "--db=postgresql://bob:hidden@h/d",
        "--api-key=hidden",
        "--password=hidden",
        "--auth=hidden",
        "https://u:hidden@h/x",
        "postgresql://h/d?user=bob&password=hidden",
        "--access-token=hidden",
    ],
)
def test_secrets_among_the_arguments_are_not_kept(argument, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", argument, "--lr", "0.1"])
    arguments = collect_provenance()["arguments"]
    assert "hidden" not in repr(arguments)
    assert arguments[1:] == ["--lr", "0.1"]


def test_secrets_in_a_configuration_are_not_kept_and_counts_of_tokens_are():
    settings = {"auth": "hidden", "database_url": "mysql://b:hidden@h/d", "nested": {"api-key": "hidden"}}
    kept = to_plain(settings | {"num_tokens": 64, "token_dim": 8})
    assert "hidden" not in repr(kept)
    assert (kept["num_tokens"], kept["token_dim"]) == (64, 8)


def test_runs_that_differ_in_seed_name_or_configuration_are_different_and_addresses_do_not_count():
    facts = {"configuration": {"lr": 1e-3, "activation": to_plain(lambda: 0)}, "name": "a", "seed": "0"}
    again = facts | {"configuration": {"lr": 1e-3, "activation": to_plain(lambda: 0)}}
    assert "0x" not in facts["configuration"]["activation"]
    assert fingerprint(facts) == fingerprint(again)
    assert len({fingerprint(facts | change) for change in ({}, {"seed": "1"}, {"name": "b"}, {"configuration": {}})}) == 4
