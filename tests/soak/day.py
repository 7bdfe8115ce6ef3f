"""Runs the ticks of the soak's day: moves the clock from slot to slot, injects the planned faults, notes what ran."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from infra.local import slots
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers.processes import wait_for
from tests.soak.disturbances import AT_ONCE, LATE, STOPPED, TWICE, USUAL, Disturbance, Planned, held
from tests.soak.servers import COUNTRIES, Servers
from tests.soak.world import World

# How far into a slot its tick starts: EventBridge needs a moment, in some slots more than in others.
_INTO_SLOT = (2, 61, 240, 7)
_TIMEOUT_SECONDS = 300


@dataclass
class Ran:
    """What happened to one country in one slot: what may excuse its rows, and what went wrong without an excuse."""

    slot: datetime
    country: str
    disturbances: list[Disturbance] = field(default_factory=list)
    delivery: str = ""
    # Whether it ran again undisturbed in the same slot. Then all earlier failures must be repaired.
    mended: bool = False
    # The earliest time at which its schedules were read, if not in an earlier tick.
    began: datetime | None = None
    outcomes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def reasons(self) -> frozenset[str]:
        """The reasons for which stores may be unknown."""
        if self.delivery == LATE:
            return frozenset(["late"])
        return frozenset() if self.mended else frozenset().union(*(one.reasons for one in self.disturbances))

    @property
    def may_be_stale(self) -> bool:
        """Whether the schedules may be from an earlier tick."""
        return any(one.may_be_stale for one in self.disturbances)

    @property
    def is_undisturbed(self) -> bool:
        """Whether nothing was planned to go wrong."""
        return not self.disturbances and self.delivery not in (LATE, STOPPED)


class Day:
    """The day, slot by slot."""

    def __init__(self, servers: Servers, world: World, start: datetime, plans: list[Planned]):
        self._servers = servers
        self._world = world
        self._plans = plans
        self._slots = [start + number * slots.SLOT for number in range(len(plans))]
        self.ran: dict[tuple[datetime, str], Ran] = {}
        self.ticks = 0
        self.country_ticks = 0
        self.undisturbed_seconds: list[float] = []
        self._machines = {
            name: servers.deployed.machine(name) for name in ("tick", *(f"country-{c}" for c in COUNTRIES))
        }

    def run(self) -> None:
        """Runs all slots."""
        late: datetime | None = None
        for number, (slot, planned) in enumerate(zip(self._slots, self._plans, strict=True)):
            self._servers.clock.set(slot + timedelta(seconds=_INTO_SLOT[number % len(_INTO_SLOT)]))
            now = self._servers.clock.now()
            self._world.move_on(slot, now)
            for code in COUNTRIES:
                self.ran[slot, code] = Ran(slot, code, planned.disturbances[code], planned.delivery, began=now)
            if planned.delivery == LATE:
                late = slot
                continue
            started = time.monotonic()
            self._slot(slot, planned)
            if late:
                self._deliver(late)
                late = None
            self._tell(slot, planned, time.monotonic() - started)

    def _slot(self, slot: datetime, planned: Planned) -> None:
        with self._disturbed(planned):
            if planned.stop:
                self._stopped(slot, *planned.stop)
            elif planned.delivery == AT_ONCE:
                self._twice_at_once(slot)
            else:
                self._deliver(slot)
        if planned.delivery == TWICE:
            self._deliver(slot)
            for code in COUNTRIES:
                self.ran[slot, code].mended = True
        for code in COUNTRIES:
            self._run_again(self.ran[slot, code])

    @contextmanager
    def _disturbed(self, planned: Planned) -> Iterator[None]:
        with ExitStack() as faults:
            for code, disturbances in planned.disturbances.items():
                for one in disturbances:
                    faults.enter_context(one.begin(self._servers.countries[code]))
            yield

    def _deliver(self, slot: datetime) -> None:
        """Starts the tick machine as its rule does."""
        self.ticks += 1
        self._note(slot, self._end_of(self._start("tick", {"slot": slots.iso(slot)})))

    def _twice_at_once(self, slot: datetime) -> None:
        """Runs a tick, and at the same time each of its countries under another name.

        Two ticks would give the countries' executions the same names. AWS refuses the second as a duplicate; the local
        AWS runs both as one, which then fails.
        """
        event = {"slot": slots.iso(slot)}
        beside = {code: self._start(f"country-{code}", event | {"country": code}) for code in COUNTRIES}
        self._deliver(slot)
        for code, execution in beside.items():
            self.ran[slot, code].outcomes.append(_outcome(self._end_of(execution)))
            self.country_ticks += 1

    def _note(self, slot: datetime, ended: dict[str, Any]) -> None:
        """Notes how each country did. A tick that failed names them in its cause."""
        output = json.loads(ended.get("output") or "{}")
        cause = ended.get("cause") or output.get("Cause") or ""
        try:
            fared = output["countries"] if ended["status"] == "SUCCEEDED" else json.loads(cause)
            outcomes = {entry["country"]: entry["outcome"] for entry in fared}
        except (json.JSONDecodeError, KeyError, TypeError):
            outcomes = {}  # it failed before any country ran
        for code in COUNTRIES:
            self.ran[slot, code].outcomes.append(outcomes.get(code, f"not run: {cause[:200]}"))
            self.country_ticks += 1

    def _stopped(self, slot: datetime, code: str, request: str) -> None:
        """Stops a country's execution in the middle of a request of one of its functions."""
        step_functions = self._servers.deployed.step_functions
        with held(self._servers.countries[code], request) as (fault, go_on):
            tick = self._start("tick", {"slot": slots.iso(slot)})
            self.ticks += 1
            if not wait_for(lambda: bool(fault.met), _TIMEOUT_SECONDS):
                raise StackError(f"soak: {code} of {slots.iso(slot)} never sent {request}")
            running = step_functions.list_executions(
                stateMachineArn=self._machines[f"country-{code}"], statusFilter="RUNNING"
            )["executions"]
            for execution in running:
                step_functions.stop_execution(executionArn=execution["executionArn"])
            go_on.set()
            self._note(slot, self._end_of(tick))
        self._servers.loop.injected["StopExecution"] += len(running)

    def _run_again(self, ran: Ran) -> None:
        """Runs failed country ticks again after they have ended, like a person whom the alarm has called.

        Uses the country's own machine and another name. On AWS a repeated tick would find that the country's execution
        exists already.
        """
        if all(outcome in ("complete", "partial") for outcome in ran.outcomes):
            return
        may_fail = any(one.may_fail for one in ran.disturbances) or ran.delivery == STOPPED
        if not may_fail:
            causes = "; ".join(self._causes(ran)) or "none of its executions failed"
            ran.wrong.append(f"the country tick ended as {ran.outcomes} without a fault that excuses it: {causes}")
        event = {"country": ran.country, "slot": slots.iso(ran.slot)}
        ended = self._end_of(self._start(f"country-{ran.country}", event))
        self.country_ticks += 1
        ran.mended = True
        ran.outcomes.append(_outcome(ended))
        if ran.outcomes[-1] != "complete":
            ran.wrong.append(f"run again undisturbed, it ended as {ran.outcomes[-1]}: {ended.get('cause')}")

    def _causes(self, ran: Ran) -> list[str]:
        """Why the country's executions of a slot failed. A tick only names the country."""
        step_functions = self._servers.deployed.step_functions
        machine = self._machines[f"country-{ran.country}"]
        failed = step_functions.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"]
        found = [step_functions.describe_execution(executionArn=one["executionArn"]) for one in failed]
        slot = slots.iso(ran.slot)
        return [f"{one.get('error')}: {one.get('cause')}" for one in found if json.loads(one["input"])["slot"] == slot]

    def _start(self, machine: str, event: dict[str, str]) -> str:
        return self._servers.deployed.start_machine(machine, event)

    def _end_of(self, execution: str) -> dict[str, Any]:
        return self._servers.deployed.end_of(execution, seconds=_TIMEOUT_SECONDS)

    def _tell(self, slot: datetime, planned: Planned, seconds: float) -> None:
        told = []
        for code in COUNTRIES:
            ran = self.ran[slot, code]
            if ran.disturbances or set(ran.outcomes) != {"complete"}:
                names = ", ".join(one.name for one in ran.disturbances) or "undisturbed"
                told.append(f"{code} {names}: {', then '.join(ran.outcomes)}")
        if not told and planned.delivery == USUAL:
            self.undisturbed_seconds.append(seconds)
        else:
            delivery = "" if planned.delivery == USUAL else f"{planned.delivery}; "
            say("soak", f"{slot:%H:%M} {delivery}{'; '.join(told) or 'all complete'} ({seconds:.1f} s)")


def _outcome(ended: dict[str, Any]) -> str:
    """The outcome of an execution of a country's machine."""
    return json.loads(ended["output"])["outcome"] if ended["status"] == "SUCCEEDED" else "failed"
