"""Gallery: samples from the same latents over the steps, beside real samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import streamlit as st

from ganwatch.store import queries

from .contact_sheets import show_contact_sheet, show_strip
from .current_store import open_current_store
from .escaping import escape_name
from .formatting import incident_name
from .links import show_link
from .refresh import draw_while_active
from .run_selection import run_label, select_run, show_run_header

MAX_SHEET_WIDTH = 450
"""Width of a large contact sheet, in pixels."""
SMALL_SHEET_WIDTH = 210
PER_PAGE = 12
THROUGH_TIME, COMPARE, PINNED = "Through time", "Compare", "Pinned to incidents"
SAMPLE_KINDS = {"fixed": "Fixed latents", "fake": "Training batch", "real": "Real samples"}


def page() -> None:
    """Draw the gallery of the selected run."""
    record = select_run()
    if record is None:
        return
    draw_while_active(show_run_header, record)
    view = st.segmented_control(
        "View", [THROUGH_TIME, COMPARE, PINNED], default=THROUGH_TIME, required=True, key="gallery_view", label_visibility="collapsed"
    )
    if view == COMPARE:
        _compare(record)
    else:
        draw_while_active(_pinned if view == PINNED else _through_time, record)


def _through_time(record: queries.RunRecord) -> None:
    store = open_current_store()
    grids = queries.artifacts(store, record.id, "fixed")
    real = queries.artifacts(store, record.id, "real")
    if not grids:
        st.info("No grid is recorded yet. The first one follows the first step.", icon=":material/hourglass_empty:")
        return
    selected = _select_step(record.id, [grid.step for grid in grids])
    grid = next(grid for grid in grids if grid.step == selected)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Fixed latents", anchor=False)
        show_contact_sheet(grid, f"generated from the same latents, step {grid.step:,}", width=MAX_SHEET_WIDTH)
    with right:
        st.subheader("Real samples", anchor=False)
        if real:
            nearest = min(real, key=lambda one: abs(one.step - grid.step))
            show_contact_sheet(nearest, f"real, from the batch of step {nearest.step:,}", width=MAX_SHEET_WIDTH)
        else:
            st.caption("This run has no real samples.")
    st.subheader("All grids, newest first", anchor=False)
    _strip(list(reversed(grids)))


def _select_step(run: str, steps: Sequence[int]) -> int:
    """Return the step to display: the newest one until the viewer selects another."""
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
    show_strip(grids[(chosen - 1) * PER_PAGE : chosen * PER_PAGE], width=SMALL_SHEET_WIDTH)


def _pinned(record: queries.RunRecord) -> None:
    store = open_current_store()
    incidents = {one.id: one for one in queries.incidents(store, record.id)}
    sheets: dict[str, list[queries.ArtifactRecord]] = defaultdict(list)
    for kind in ("pinned", "missing"):
        for sheet in queries.artifacts(store, record.id, kind):
            sheets[sheet.incident or ""].append(sheet)
    if not sheets:
        st.info("No samples are pinned. When an incident opens, the samples around its onset are kept here.", icon=":material/push_pin:")
    for incident_id, pinned in sheets.items():
        if incident_id in incidents:
            incident = incidents[incident_id]
            label = f"**{escape_name(incident_name(incident))}**, onset at step {incident.onset:,}"
            show_link("incidents", label, run=record.id, incident=incident_id)
        show_strip(pinned, width=SMALL_SHEET_WIDTH)


def _compare(record: queries.RunRecord) -> None:
    runs = queries.runs(open_current_store())
    left, right = st.columns(2, gap="medium")
    with left:
        _side("a", runs, record.id, newest=False)
    with right:
        _side("b", runs, record.id, newest=True)


def _side(side: str, runs: Sequence[queries.RunRecord], run: str, *, newest: bool) -> None:
    by_id = {record.id: record for record in runs}
    run_column, kind_column, step_column = st.columns([3, 2, 2])
    start = list(by_id).index(run)
    chosen = run_column.selectbox("Run", list(by_id), index=start, format_func=lambda one: run_label(by_id[one]), key=f"compare_run_{side}")
    kind = kind_column.selectbox("Samples", list(SAMPLE_KINDS), format_func=SAMPLE_KINDS.__getitem__, key=f"compare_kind_{side}")
    sheets = queries.artifacts(open_current_store(), chosen, kind)
    if not sheets:
        st.caption("This run has no such samples.")
        return
    steps = [sheet.step for sheet in sheets]
    start = len(steps) - 1 if newest else 0
    key = f"compare_step_{side}_{chosen}_{kind}"
    step = step_column.selectbox("Step", steps, index=start, format_func=lambda step: f"{step:,}", key=key)
    sheet = next(sheet for sheet in sheets if sheet.step == step)
    show_contact_sheet(sheet, f"{SAMPLE_KINDS[kind].lower()}, step {step:,}", width=MAX_SHEET_WIDTH)
