"""Plans: cadences, early looks, quiet times, extra looks."""

from ganwatch.capture.schedule import EARLY_UNTIL, Schedule
from ganwatch.core.pace import QUIET_FACTOR
from ganwatch.core.probe import Probe


def make_probe(**facts):
    cls = type("Made", (Probe,), {"name": facts.pop("name"), "signals": (), "read": lambda self, step: {}, **facts})
    return cls()


def due_steps(schedule, name, last, **kinds):
    return [step for step in range(1, last + 1) if name in {probe.name for probe in schedule.plan(step, **kinds).due}]


def test_early_steps_have_looks_of_their_own():
    schedule = Schedule([make_probe(name="early", every=20, early_every=5), make_probe(name="usual", every=20)], lambda _, do: do())
    assert due_steps(schedule, "early", EARLY_UNTIL) == [*range(5, EARLY_UNTIL + 1, 5)]
    assert due_steps(schedule, "early", 3 * EARLY_UNTIL)[EARLY_UNTIL // 5 :] == [*range(EARLY_UNTIL + 20, 3 * EARLY_UNTIL + 1, 20)]
    assert due_steps(schedule, "usual", 200) == [*range(20, 201, 20)]


def test_paced_probes_are_due_seldom_in_quiet_times_and_at_extra_looks():
    schedule = Schedule([make_probe(name="paced", every=20, is_paced=True), make_probe(name="usual", every=20)], lambda _, do: do())
    assert due_steps(schedule, "paced", 400, is_quiet=True) == [*range(20 * QUIET_FACTOR, 401, 20 * QUIET_FACTOR)]
    assert due_steps(schedule, "usual", 400, is_quiet=True) == [*range(20, 401, 20)]
    assert due_steps(schedule, "paced", 30, is_look=True) == [*range(1, 31)]
    assert due_steps(schedule, "usual", 30, is_look=True) == [20]


def test_what_the_loop_does_between_updates_is_watched_unless_times_are_quiet():
    schedule = Schedule([make_probe(name="paced", every=20, is_paced=True), make_probe(name="usual", every=10)], lambda _, do: do())
    assert [schedule.plan(step, is_quiet=True).watches_updates for step in (10, 20, 80)] == [False, False, True]
    assert schedule.plan(10).watches_updates
    assert schedule.plan(10, is_quiet=True, is_look=True).watches_updates
