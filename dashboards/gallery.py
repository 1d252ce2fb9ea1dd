"""The gallery: what the generator makes of the same latents through time, beside real samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import streamlit as st

from ganwatch.store import queries

from .pictures import show_sheet, show_strip
from .state import choose_run, link, live_run, open_shown_store, run_header, run_name

SHEET = 450
"""Pixels that a large contact sheet may be wide."""
SMALL = 210
PER_PAGE = 12
THROUGH_TIME, COMPARE, PINNED = "Through time", "Compare", "Pinned to incidents"
NAMES = {"fixed": "Fixed latents", "fake": "Training batch", "real": "Real samples"}


def page() -> None:
    """Gallery of the chosen run."""
    record = choose_run()
    if record is None:
        return
    live_run(run_header, record)
    view = st.segmented_control(
        "View", [THROUGH_TIME, COMPARE, PINNED], default=THROUGH_TIME, required=True, key="gallery_view", label_visibility="collapsed"
    )
    if view == COMPARE:
        _compare(record)
    else:
        live_run(_pinned if view == PINNED else _through_time, record)


def _through_time(record: queries.RunRecord) -> None:
    store = open_shown_store()
    grids = queries.artifacts(store, record.id, "fixed")
    real = queries.artifacts(store, record.id, "real")
    if not grids:
        st.info("No grid was drawn yet. The first one comes with the first step.", icon=":material/hourglass_empty:")
        return
    chosen = _choose_step(record.id, [grid.step for grid in grids])
    grid = next(grid for grid in grids if grid.step == chosen)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Fixed latents", anchor=False)
        show_sheet(grid, f"generated from the same latents, step {grid.step:,}", width=SHEET)
    with right:
        st.subheader("Real samples", anchor=False)
        if real:
            beside = min(real, key=lambda one: abs(one.step - grid.step))
            show_sheet(beside, f"real, from the batch of step {beside.step:,}", width=SHEET)
        else:
            st.caption("This run keeps no real samples.")
    st.subheader("All grids, newest first", anchor=False)
    _strip(list(reversed(grids)))


def _choose_step(run: str, steps: Sequence[int]) -> int:
    """The step to show; the newest one until somebody picks another."""
    if len(steps) == 1:
        return steps[0]
    key, newest = f"gallery_step_{run}", f"gallery_newest_{run}"
    if st.session_state.get(key) in {None, st.session_state.get(newest)}:
        st.session_state[key] = steps[-1]
    st.session_state[newest] = steps[-1]
    return int(st.select_slider("Step", steps, key=key, format_func=lambda step: f"{step:,}"))


def _strip(grids: Sequence[queries.ArtifactRecord]) -> None:
    count = -(-len(grids) // PER_PAGE)
    chosen = st.pagination(count, key="gallery_page") if count > 1 else 1
    show_strip(grids[(chosen - 1) * PER_PAGE : chosen * PER_PAGE], width=SMALL)


def _pinned(record: queries.RunRecord) -> None:
    store = open_shown_store()
    found = {one.id: one for one in queries.incidents(store, record.id)}
    sheets: dict[str, list[queries.ArtifactRecord]] = defaultdict(list)
    for kind in ("pinned", "missing"):
        for sheet in queries.artifacts(store, record.id, kind):
            sheets[sheet.incident or ""].append(sheet)
    if not sheets:
        st.info("Nothing is pinned. When an incident opens, the samples around its onset are kept here.", icon=":material/push_pin:")
    for incident_id, pinned in sheets.items():
        if incident_id in found:
            incident = found[incident_id]
            label = f"**{incident.code} {incident.title}**, onset at step {incident.onset:,}"
            link("incidents", label, run=record.id, incident=incident_id)
        show_strip(pinned, width=SMALL)


def _compare(record: queries.RunRecord) -> None:
    runs = queries.runs(open_shown_store())
    left, right = st.columns(2, gap="medium")
    with left:
        _side("a", runs, record.id, newest=False)
    with right:
        _side("b", runs, record.id, newest=True)


def _side(side: str, runs: Sequence[queries.RunRecord], run: str, *, newest: bool) -> None:
    by_id = {record.id: record for record in runs}
    who, what, when = st.columns([3, 2, 2])
    start = list(by_id).index(run)
    chosen = who.selectbox("Run", list(by_id), index=start, format_func=lambda one: run_name(by_id[one]), key=f"compare_run_{side}")
    kind = what.selectbox("Samples", list(NAMES), format_func=NAMES.__getitem__, key=f"compare_kind_{side}")
    sheets = queries.artifacts(open_shown_store(), chosen, kind)
    if not sheets:
        st.caption("This run has no such samples.")
        return
    steps = [sheet.step for sheet in sheets]
    start = len(steps) - 1 if newest else 0
    step = when.selectbox("Step", steps, index=start, format_func=lambda step: f"{step:,}", key=f"compare_step_{side}_{chosen}_{kind}")
    show_sheet(next(sheet for sheet in sheets if sheet.step == step), f"{NAMES[kind].lower()}, step {step:,}", width=SHEET)
