"""Measure this project beside other servers: one mongod, the same data, the same queries, in interleaved rounds.

    make bench                           on the sample
    make bench RELEASES=debian.ndjson    on a file of import documents
    make bench ROUNDS=5 SECONDS=3        rounds, and the seconds of load on each server in each

Before and after each round every server's responses are compared with this project's: a server with a wrong one is
not measured, and the run fails. wrk loads from one thread; it and mongod share the machine with the server. No
server logs requests.
"""

import argparse
import contextlib
import gzip
import importlib.resources
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import report
import servers
from release_catalog.embedded_mongodb import supervisor
from rounds import CONNECTIONS, Run, say
from workloads import WORKLOADS

COMPARED, COMPARED_AGAIN = 25, 3


def need_wrk() -> None:
    """Exit if the load tool is missing."""
    if not shutil.which("wrk"):
        sys.exit("wrk is missing, which makes the load: apt-get install wrk.")


def fill(folder: Path, url: str, given: Path | None) -> None:
    """Load the releases through the command line, published."""
    file = given or folder / "sample.ndjson"
    if not given:
        sample = importlib.resources.files("release_catalog.sample") / "debian.ndjson.gz"
        file.write_bytes(gzip.decompress(sample.read_bytes()))
    command = [str(servers.BIN / "release-catalog"), "load", str(file), "--publish"]
    subprocess.run(command, env=servers.environment(url), check=True)  # noqa: S603  our own command


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=Path, help="import documents, one a line; otherwise the sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="how long each server is under load in a round")
    parser.add_argument("--workloads", nargs="*", default=[workload.name for workload in WORKLOADS])
    parser.add_argument("--servers", nargs="*", default=list(servers.COMMANDS), help="this project always runs")
    parser.add_argument("--chart", type=Path, default=servers.HERE / "results.svg")
    return parser.parse_args()


def main() -> None:
    """Run everything, print the tables, draw the chart; exit with 1 if any response was wrong."""
    asked = arguments()
    need_wrk()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no server may stay behind
    chosen = [workload for workload in WORKLOADS if workload.name in asked.workloads]
    names = [name for name in servers.COMMANDS if name == "this project" or name in asked.servers]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(supervisor.start(folder / "data")).url
        fill(folder, url, asked.releases)
        up = [stack.enter_context(servers.running(name, url, folder)) for name in names]
        run = Run(folder, url, up)
        left = run.prepare(chosen)
        for workload in left:
            run.compare(workload, COMPARED, seed=0)
            run.warm_up(workload, asked.seconds)
        for number in range(1, asked.rounds + 1):
            for workload in left:
                for connections in CONNECTIONS:
                    run.measure(workload, connections, asked.seconds, number)
                run.compare(workload, COMPARED_AGAIN, number)
            say(f"round {number} of {asked.rounds} done")
        memory = {server.name: server.memory() for server in up}
    result = report.Result(left, names, CONNECTIONS, run.loads, memory)
    say(report.tables(result))
    asked.chart.write_text(report.chart(result, CONNECTIONS[-1]))
    if run.wrong:
        sys.exit(f"Not all answers were right: {sorted(run.wrong)}")


if __name__ == "__main__":
    main()
