"""A thousand vendor jobs on one desk, and what a 5 MB report costs it.

    python -m benchmarks.vendors [--jobs 1000] [--seconds 600] [--hands 4] [--report-mb 5]

Prints one JSON object. The desk is a real `spadework serve --no-desk` process, spoken to over stdio as a client does;
the vendors are the tests' stand-ins, in a process of their own, and each run of theirs takes `--seconds` of real time.
`waiting` is measured from the last purchase to shortly before the first run can end; `polls` are the requests after
the purchase that the stand-ins saw for each job.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from tests.journeys.desks import Agent, Place
from tests.journeys.server import COMMAND
from tests.standins import answers
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY, Standin

MIB = 1024 * 1024
KINDS = {"perplexity": Perplexity, "parallel": Parallel, "cloro": Cloro}
TIERS = {"perplexity": "medium", "parallel": "core", "cloro": "perplexity"}
#: What a stand-in calls a request that asks how a run is.
LOOKS = frozenset({"look", "result", "group_look", "list", "events"})


def vendors(pipe: Connection, seconds: float) -> None:
    """The stand-ins, until told to end; then what each of them saw."""
    standins: dict[str, Standin] = {}
    with ExitStack() as stack:
        for name, kind in KINDS.items():
            standins[name] = standin = kind()
            standin.script = Script(seconds=seconds)
            if isinstance(standin, Cloro):
                standin.concurrency = 100_000
            if isinstance(standin, Parallel):
                standin.per_minute = 1_000_000
        pipe.send({name: stack.enter_context(standin.serving()) for name, standin in standins.items()})
        while (asked := pipe.recv()) != "end":
            if isinstance(asked, Script):
                for standin in standins.values():
                    standin.script = asked
            pipe.send({name: seen(standin) for name, standin in standins.items()})


def seen(standin: Standin) -> dict[str, Any]:
    """What a stand-in sold, and how often it was asked how a run is."""
    polls = Counter(part for entry in standin.log if entry.where in LOOKS for part in entry.path.split("/"))
    each = [polls[run.id] + (polls[run.group] if run.group else 0) for run in standin.runs.values()]
    return {"purchases": len(standin.ledger), "polls_most": max(each, default=0), "polls": sum(each)}


@contextmanager
def market(seconds: float) -> Iterator[tuple[Connection, dict[str, str]]]:
    """The stand-ins in a process of their own: the line to them, and their addresses."""
    near, far = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=vendors, args=(far, seconds), daemon=True)
    process.start()
    try:
        yield near, near.recv()
    finally:
        near.send("end")
        process.join(10)


class Scale:
    """The resident memory of a process, weighed ten times a second; its most is kept."""

    def __init__(self, process: psutil.Process) -> None:
        self.process, self.most = process, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def _weigh(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.most = max(self.most, self.process.memory_info().rss)
            except psutil.NoSuchProcess:
                return

    def stop(self) -> float:
        """The most, in MiB."""
        self._over.set()
        self._thread.join()
        return round(self.most / MIB, 1)


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def desk(place: Place, urls: dict[str, str], hands: int) -> tuple[Agent, psutil.Process]:
    """The server under test, and its process."""
    given: dict[str, object] = {f"{name.upper()}_API_KEY": KEY for name in urls}
    given |= {f"SPADEWORK_{name.upper()}_BASE_URL": url for name, url in urls.items()}
    agent = place.agent(command=COMMAND, concurrency=hands, **given)
    agent.ask("check_research")
    return agent, psutil.Process(agent.process.pid)


def until(agent: Agent, jobs: list[str], within_s: float) -> Counter[str]:
    """Wait for jobs; how many ended in which way."""
    ends: Counter[str] = Counter()
    left, end = set(jobs), time.monotonic() + within_s
    while left and time.monotonic() < end:
        for chunk in [sorted(left)[start : start + 20] for start in range(0, len(left), 20)]:
            for job in agent.ask("check_research", job_ids=chunk)["jobs"]:
                if job["status"] in ("completed", "failed", "cancelled"):
                    ends[job["status"]] += 1
                    left.discard(job["job_id"])
        time.sleep(1)
    ends["unfinished"] += len(left)
    return ends


def crowd(place: Place, count: int, seconds: float, hands: int) -> dict[str, Any]:
    """So many jobs at once, spread over the vendors."""
    with market(seconds) as (line, urls):
        agent, process = desk(place, urls, hands)
        scale = Scale(process)
        begun, cpu = time.monotonic(), spent(process)
        jobs: list[str] = []
        for number in range(count):
            name = list(KINDS)[number % len(KINDS)]
            question = f"How large was the market number {number} for heat pumps in 2025?"
            jobs.append(agent.ask("start_research", question=question, engine=f"{name}:{TIERS[name]}")["job_id"])
        started_s = time.monotonic() - begun
        while sum(row["purchases"] for row in asked(line).values()) < count and time.monotonic() < begun + 600:
            time.sleep(0.2)
        bought_s, cpu_bought = time.monotonic() - begun, spent(process) - cpu
        mark, cpu = time.monotonic(), spent(process)
        time.sleep(max(1.0, seconds - bought_s - 2))
        waited_s, used_s = time.monotonic() - mark, spent(process) - cpu
        waiting_rss = round(process.memory_info().rss / MIB, 1)
        ends = until(agent, jobs, within_s=seconds + 300)
        found = {
            "jobs": count,
            "run_s": seconds,
            "ends": dict(ends),
            "vendors": asked(line),
            "started_s": round(started_s, 1),
            "bought_s": round(bought_s, 1),
            "cpu_per_purchase_ms": round(1_000 * cpu_bought / count, 1),
            "waiting": {"s": round(waited_s, 1), "core": round(used_s / waited_s, 3), "rss_mib": waiting_rss},
            "rss_most_mib": scale.stop(),
            "all_s": round(time.monotonic() - begun, 1),
        }
        agent.leave()
        return found


def asked(line: Connection) -> dict[str, dict[str, Any]]:
    """What the stand-ins saw up to now."""
    line.send("seen")
    return line.recv()


def read_whole(agent: Agent, job_id: str) -> list[str]:
    """Read a report's brief, its outline and a page of its text; the views that came."""
    views = ["brief", "outline", "full"]
    replies = [agent.reply(agent.call("get_result", job_id=job_id, view=view), within=60) for view in views]
    return [view for view, reply in zip(views, replies, strict=True) if not reply["result"].get("isError")]


def large(place: Place, megabytes: int) -> dict[str, Any]:
    """One report of so many megabytes: the memory it takes at most above what the desk had before."""
    found: dict[str, Any] = {}
    with market(0.0) as (line, urls):
        for name in ("perplexity", "parallel"):
            agent, process = desk(place, urls, 4)
            line.send(Script(polls=1, text="A short report with one fact."))
            line.recv()
            tier = {"perplexity": "fast", "parallel": "lite-fast"}[name]
            warm = agent.ask("start_research", question=f"A first, short question to {name}?", engine=f"{name}:{tier}")
            assert agent.ended(warm["job_id"])["status"] == "completed"
            read_whole(agent, warm["job_id"])
            line.send(Script(polls=1, text=answers.huge(megabytes * MIB)))
            line.recv()
            before = process.memory_info().rss / MIB
            scale = Scale(process)
            job = agent.ask("start_research", question=f"A long report from {name}?", engine=f"{name}:{tier}")
            ended = agent.ended(job["job_id"])
            kept = scale.most / MIB
            read = read_whole(agent, job["job_id"])
            time.sleep(0.3)
            most = scale.stop()
            found[name] = {
                "status": ended["status"],
                "read": read,
                "before_mib": round(before, 1),
                "most_mib": most,
                "above_when_kept_mib": round(kept - before, 1),
                "above_mib": round(most - before, 1),
            }
            agent.leave()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--hands", type=int, default=4)
    parser.add_argument("--report-mb", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        found: dict[str, Any] = {}
        if options.report_mb:
            with Place(Path(one)) as place:
                found["large_report"] = large(place, options.report_mb)
        if options.jobs:
            with Place(Path(two)) as place:
                found["crowd"] = crowd(place, options.jobs, options.seconds, options.hands)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
