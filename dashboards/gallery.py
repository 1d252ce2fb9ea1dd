"""The gallery: what the generator makes of the same latents through time, beside real samples."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ganwatch.store import queries

from .pictures import show_sheet
from .state import choose_run, is_active, live, open_shown_store, run_header, run_name

SHEET = 540
"""Pixels that a large contact sheet may be wide."""
SMALL = 250
PER_PAGE = 12
THROUGH_TIME, COMPARE = "Through time", "Compare"
NAMES = {"fixed": "Fixed latents", "fake": "Training batch", "real": "Real samples"}


def page() -> None:
    """Gallery of the chosen run."""
    record = choose_run()
    if record is None:
        return
    live(_header, record.id, active=is_active(record))
    view = st.segmented_control("View", [THROUGH_TIME, COMPARE], default=THROUGH_TIME, required=True, key="gallery_view", label_visibility="collapsed")
    if view == COMPARE:
        _compare(record)
    else:
        live(_through_time, record.id, active=is_active(record))


def _header(run: str) -> None:
    run_header(queries.run(open_shown_store(), run))


def _through_time(run: str) -> None:
    store = open_shown_store()
    grids = queries.artifacts(store, run, "fixed")
    real = queries.artifacts(store, run, "real")
    if not grids:
        st.info("No grid was drawn yet. The first one comes with the first step, then one every 100 steps.", icon=":material/hourglass_empty:")
        return
    chosen = _choose_step(run, [grid.step for grid in grids])
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
    shown = grids[(chosen - 1) * PER_PAGE : chosen * PER_PAGE]
    for start in range(0, len(shown), 4):
        for column, grid in zip(st.columns(4), shown[start : start + 4], strict=False):
            with column:
                show_sheet(grid, f"step {grid.step:,}", width=SMALL)


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
    chosen = who.selectbox("Run", list(by_id), index=list(by_id).index(run), format_func=lambda id: run_name(by_id[id]), key=f"compare_run_{side}")
    kind = what.selectbox("Samples", list(NAMES), format_func=NAMES.__getitem__, key=f"compare_kind_{side}")
    sheets = queries.artifacts(open_shown_store(), chosen, kind)
    if not sheets:
        st.caption("This run has no such samples.")
        return
    steps = [sheet.step for sheet in sheets]
    step = when.selectbox(
        "Step", steps, index=len(steps) - 1 if newest else 0, format_func=lambda step: f"{step:,}", key=f"compare_step_{side}_{chosen}_{kind}"
    )
    show_sheet(next(sheet for sheet in sheets if sheet.step == step), f"{NAMES[kind].lower()}, step {step:,}", width=SHEET)
