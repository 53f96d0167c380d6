"""Everything that a scenario runs on: a replica set, API processes, the load and the prober."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults import verification
from faults.api_process import ApiProcess, python, signed_token, stored_token
from faults.journal import Journal, Json, sample
from faults.replica_set import Member, ReplicaSet
from faults.report import Fault, Figures, Limits, figures, steady_seconds
from faults.verification import Tenant

_TENANTS = ("alpha", "beta")
_PRODUCT = 'mutation { saveProduct(input: {key: "tool", name: "tool", versionScheme: ANY}) { product { id } problem { detail } } }'
_ENVIRONMENT = 'mutation { saveEnvironment(input: {name: "QA"}) { problem { detail } } }'
# How long to wait for what has to happen sooner, to measure by how much it is late.
_PATIENCE_SECONDS = 60.0
_DRAIN_SECONDS = 150.0
_LOOK_SECONDS = 0.1
# What clients are told while an outage lasts. A key that a dead process holds is free again a while after that.
_OUTAGE_WORDS = {"unavailable", "unknown", "changed", "timeout", "running", "connection"}


class Stage:
    """One scenario under way."""

    def __init__(
        self, name: str, replica_set: ReplicaSet, apis: list[ApiProcess], tenants: list[Tenant], limits: Limits
    ) -> None:
        self.name, self.replica_set, self.apis, self.tenants = name, replica_set, apis, tenants
        self.limits = limits
        self.faults: list[Fault] = []
        self.complaints: list[str] = []
        self.journal: Journal
        self.probes: Journal
        self._prober: subprocess.Popen[str]
        self._writer: subprocess.Popen[str]

    @contextlib.contextmanager
    def load(self, folder: Path, writers: int) -> Iterator[None]:
        """Have the load and the prober run for as long as the context lasts, and check what they were told."""
        configuration = {
            "urls": [api.url for api in self.apis],
            "tenants": [vars(tenant) for tenant in self.tenants],
            "writers": writers,
            "prefix": self.name.replace(" ", "-"),
        }
        (folder / "configuration.json").write_text(json.dumps(configuration))
        with contextlib.ExitStack() as stack:
            self.journal, self.probes = Journal(folder / "journal"), Journal(folder / "probes")
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._prober = stack.enter_context(python("faults.prober", folder / "probes", **pipes))
            stack.callback(self._prober.kill)
            arguments = ("faults.writer", folder / "configuration.json", folder / "journal")
            self._writer = stack.enter_context(python(*arguments, stdin=subprocess.PIPE))
            stack.callback(self._writer.kill)
            for api in self.apis:
                self._watch(api)
            self.settle(time.monotonic(), "before any fault")
            yield
            self.replica_set.restore()
            self._drain()

    def _drain(self) -> None:
        """End the load: every operation is brought to its end first."""
        assert self._writer.stdin
        assert self._prober.stdin
        self._writer.stdin.close()
        try:
            code = self._writer.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            self.complaints.append(f"the load did not come to its end: exit code {code}")
        self._prober.stdin.close()
        self._prober.wait()

    def _tell_prober(self, line: str) -> None:
        assert self._prober.stdin
        assert self._prober.stdout
        print(line, file=self._prober.stdin, flush=True)
        self._prober.stdout.readline()

    def _watch(self, api: ApiProcess) -> None:
        self._tell_prober(f"watch {api.port} {api.pid}")

    # Faults.

    def fault(self, name: str) -> Fault:
        """Note that something is about to be done to the catalog."""
        self.faults.append(Fault(name, time.monotonic()))
        return self.faults[-1]

    def kill_primary(self) -> Member:
        """Kill the primary, and wait until writes succeed again under another one."""
        primary, fault = self.replica_set.primary, self.fault("primary killed")
        primary.kill()
        self.elected(fault)
        return primary

    def freeze_primary(self, seconds: float) -> None:
        """Freeze the primary for a while, in which another one has to take over."""
        primary, fault = self.replica_set.primary, self.fault("primary frozen")
        primary.freeze()
        self.elected(fault)
        time.sleep(max(0.0, fault.began + seconds - time.monotonic()))
        primary.resume()

    def kill_api(self, api: ApiProcess) -> None:
        """Kill an API process and start it again."""
        fault = self.fault("API killed")
        self._tell_prober(f"leave {api.port}")
        api.kill()
        api.start()
        fault.over = time.monotonic()
        self._watch(api)

    def elected(self, fault: Fault) -> None:
        """Wait until there is a primary again, and until writes succeed."""
        fault.over = self.replica_set.monitor.after(fault.began).since
        fault.recovery = self.settle(fault.over, f"after {fault.name}")

    def settle(self, since: float, when: str) -> float:
        """Return how long after a moment each tenant had written through each API process."""
        wanted = {(at, tenant.name) for at in range(len(self.apis)) for tenant in self.tenants}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            first: dict[tuple[int, str], float] = {}
            for attempt in self.journal.acknowledged():
                if attempt["ended"] >= since:
                    first.setdefault((attempt["server"], attempt["tenant"]), attempt["ended"] - since)
            if missing := wanted - first.keys():
                if time.monotonic() < deadline:
                    time.sleep(_LOOK_SECONDS)
                    continue
                self.complaints.append(f"no write succeeded {when}: {sorted(missing)}")
                self._check()
            return max(first.values())

    # The end.

    def result(self, *, each: bool = True) -> Figures:
        """Return the figures of the scenario; AssertionError if anything is wrong."""
        self.complaints += verification.complaints(
            self.replica_set, self.replica_set.url(), self.apis, self.tenants, self.journal
        )
        return self._check(each=each)

    def _check(self, *, each: bool = True) -> Figures:
        """Return the figures; AssertionError with all that is known to be wrong."""
        probes = self.probes.read("probe")
        found = figures(self.name, self.faults, self.journal, probes, each=each)
        wrong = [*self.complaints, *self._late(), *self._disallowed(), *self._hung(probes)]
        wrong += [f"an API process has ended: {api.folder}" for api in self.apis if not api.running]
        assert not wrong, "\n".join([f"{self.name}: {found}", *wrong])
        return found

    def _late(self) -> Iterator[str]:
        for fault in self.faults:
            if fault.recovery is not None and fault.recovery > self.limits.recovery_seconds:
                yield f"writes succeeded {fault.recovery:.1f} s after the cause of an outage was over: {fault.name}"

    def _disallowed(self) -> Iterator[str]:
        """Complain of errors that no client should see, or not when there is no outage."""
        failed = self.journal.failed()
        if other := [attempt for attempt in failed if attempt["outcome"] not in _OUTAGE_WORDS]:
            yield f"other errors than those of an outage: {sample(other)}"
        if other := [read for read in self.journal.read("read") if read["outcome"] not in _OUTAGE_WORDS]:
            yield f"other errors of reads than those of an outage: {sample(other)}"
        failed += self.journal.read("read")
        outages = [
            (fault.began, (fault.over or float("inf")) + self.limits.recovery_seconds) for fault in self.faults
        ]
        calm = [a for a in failed if not any(began <= a["ended"] <= over for began, over in outages)]
        if calm:
            yield f"errors without an outage: {sample(calm)}"

    def _hung(self, probes: Sequence[Json]) -> Iterator[str]:
        if slow := [probe for probe in probes if steady_seconds(probe) > self.limits.live_seconds]:
            yield f"/livez took more than {self.limits.live_seconds} s: {sample(slow)}"
        if failed := [probe for probe in probes if probe["error"]]:
            yield f"/livez did not answer: {sample(failed)}"
        if not probes:
            yield "/livez was never asked"


@contextlib.contextmanager
def stage(
    name: str,
    folder: Path,
    *,
    apis: Sequence[Mapping[str, str]] = ({}, {}),
    url_options: str = "",
    mongod_options: Sequence[str] = (),
    data: Sequence[Path] | None = None,
    limits: Limits | None = None,
) -> Iterator[Stage]:
    """Have a stage without load: an API process for each of `apis`, which are variables of their environments."""
    replica_set = ReplicaSet(data or [folder / f"mongod{at}" for at in range(3)], mongod_options)
    with replica_set.running(), contextlib.ExitStack() as stack:
        url = replica_set.url(url_options)
        processes = [ApiProcess(folder / f"api{at}", url, variables) for at, variables in enumerate(apis)]
        tokens = [signed_token(_TENANTS[0]), stored_token(replica_set.url(), _TENANTS[1])]
        for process in processes:
            stack.callback(process.kill)
            process.start()
        tenants = []
        for tenant, token in zip(_TENANTS, tokens, strict=True):
            product = processes[0].ask(token, _PRODUCT)["saveProduct"]["product"]["id"]
            processes[0].ask(token, _ENVIRONMENT)
            tenants.append(Tenant(tenant, token, product, "tool"))
        yield Stage(name, replica_set, processes, tenants, limits or Limits())
