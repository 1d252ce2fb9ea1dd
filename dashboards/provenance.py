"""Provenance of a run: everything that is needed to repeat it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ganwatch.core.detector_settings import discover_detectors
from ganwatch.store import queries
from ganwatch.store.strict_json import encode

from .current_store import malformed_records, open_current_store
from .escaping import MAX_NAME, escape_markdown, escape_name, plain_text
from .formatting import format_number
from .run_selection import select_run, show_run_header

REFERENCE_MODULE = "ganwatch.trainer.module.GAN"
"""Module whose optimizers have the order of ``NETWORKS``."""
NETWORKS = ("generator", "discriminator")
MAX_VALUE = 2_000
"""Longest value in a table, in characters. The file to download has all of it."""
SECTIONS = ("configuration", "optimizers", "packages", "dataset", "device", "code")


def page() -> None:
    """Draw the provenance of the selected run."""
    record = select_run()
    if record is None:
        return
    show_run_header(record)
    facts = dict(record.provenance)
    if not facts:
        st.info("This run has no recorded provenance.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left, malformed_records("A part of the provenance"):
        facts |= _detectors(facts.get("detectors"))
        _table("Run", {key: value for key, value in facts.items() if key not in SECTIONS})
        _table("Code and device", {**_nested("code", facts), **_nested("device", facts)})
        _table("Packages", facts.get("packages"))
        _dataset(facts.get("dataset"))
    with right, malformed_records("A part of the provenance"):
        _table("Configuration", facts.get("configuration"))
        _optimizers(facts.get("optimizers"), str(facts.get("module")))
    _attempts(record.id)
    encoded = encode(record.provenance)
    with st.expander("All of it as JSON", icon=":material/data_object:"):
        st.json(_shorten(encoded))
    text = json.dumps(encoded, indent=2, allow_nan=False)
    name = re.sub(r"[^\w-]", "_", record.id)[:MAX_NAME]
    st.download_button("Download JSON", text, file_name=f"{name}.json", mime="application/json", icon=":material/download:")


def _shorten(value: Any) -> Any:
    """Shorten the texts in nested values, for the screen."""
    if isinstance(value, Mapping):
        return {plain_text(name): _shorten(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return plain_text(value) if isinstance(value, str) else value


def _detectors(facts: Any) -> dict[str, Any]:
    """Return the changed arguments of detectors, each code with its title.

    >>> _detectors({"GW502": {"max_share": 0.25}})
    {'detectors': {'GW502 bad input batch': {'max_share': 0.25}}}
    """
    if not isinstance(facts, Mapping) or not facts:
        return {}
    titles = {one.code: f"{one.code} {one.title}" for one in discover_detectors()}
    return {"detectors": {titles.get(code, code): arguments for code, arguments in facts.items()}}


def _nested(key: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    inner = facts.get(key)
    return {f"{key}.{name}": value for name, value in inner.items()} if isinstance(inner, Mapping) else {key: inner}


def _table(title: str, facts: Any) -> None:
    if not isinstance(facts, Mapping) or not facts:
        return
    st.subheader(escape_name(title), anchor=False)
    rows = [{"name": escape_name(name), "value": _cell(value)} for name, value in facts.items()]
    st.table(rows, border="horizontal", hide_index=True, hide_header=True)


def optimizer_heading(name: str, module: str) -> str:
    """Return the heading of an optimizer: its network if that is known, otherwise its number.

    >>> optimizer_heading("g", "my.Module"), optimizer_heading("1", REFERENCE_MODULE), optimizer_heading("1", "my.Module")
    ('generator', 'discriminator', 'optimizer 1')
    """
    if name.isdecimal() and module == REFERENCE_MODULE and int(name) < len(NETWORKS):
        return NETWORKS[int(name)]
    return {"g": NETWORKS[0], "d": NETWORKS[1]}.get(name, f"optimizer {name}" if name.isdecimal() else name)


def _optimizers(facts: Any, module: str) -> None:
    """Draw one column per parameter group."""
    if not isinstance(facts, Mapping):
        return
    groups: dict[str, dict[str, Any]] = {}
    for name, optimizer in facts.items():
        kind, network = str(optimizer.get("class", "")).rpartition(".")[2], optimizer_heading(str(name), module)
        for index, group in enumerate(optimizer.get("groups", [])):
            groups[f"{network}, group {index}" if index else network] = {"class": kind, **group}
    settings = dict.fromkeys(setting for group in groups.values() for setting in group)
    st.subheader("Optimizers", anchor=False)
    rows = [
        {"setting": escape_name(key)} | {escape_name(name): _cell(group.get(key)) for name, group in groups.items()} for key in settings
    ]
    st.table(rows, border="horizontal", hide_index=True)


def _dataset(facts: Any) -> None:
    if not isinstance(facts, Mapping):
        return
    shares = facts.get("label_shares")
    _table("Dataset", {key: value for key, value in facts.items() if key != "label_shares"})
    if isinstance(shares, Mapping) and shares:
        st.caption("Label shares: " + ", ".join(f"{escape_name(label)} {share:.1%}" for label, share in shares.items()))


def _attempts(run: str) -> None:
    st.subheader("Attempts", anchor=False)
    rows = [
        {
            "attempt": f"{one.attempt:,}",
            "state": escape_name(one.state),
            "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.started)),
            "steps": "none" if one.first_step is None else f"{one.first_step:,} to {one.last_step:,}",
            "host": escape_name(one.host),
            "process": f"{one.pid:d}",
        }
        for one in queries.attempts(open_current_store(), run)
    ]
    st.table(rows, border="horizontal", hide_index=True)


def _cell(value: Any) -> str:
    return escape_markdown(_text(value), MAX_VALUE)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, list):
        nested = any(isinstance(item, list | dict) for item in value)
        return json.dumps(value) if nested else " ".join(_text(item) for item in value)
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
