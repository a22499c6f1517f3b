"""What 100 000 volumes ask of a cluster: the tables of manifests/SCALING.md, computed.

    python -m benchmarks.fanout            prints them
    python -m benchmarks.fanout --write    puts them into manifests/SCALING.md

Preprocessing is simulated pod by pod, with volumes of uneven size, pods that start slowly and pods that are
lost; the rest is arithmetic. Everything that is assumed stands in the constants.
"""

import argparse
import gzip
import hashlib
import heapq
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from pipelines.cluster.footprint import Demand
from pipelines.compile import for_cluster
from pipelines.resources import Variant
from segline.data.manifest import CaseEntry, FileEntry

SCALING = Path(__file__).parents[1] / "manifests" / "SCALING.md"
BEGIN, END = "<!-- printed by benchmarks.fanout -->\n", "<!-- end -->\n"

VOLUMES = (41, 1_000, 10_000, 100_000)

RAW_MB = 1500 / 61
"""Task09_Spleen.tar, 1.5 GB, holds 41 labelled and 20 other volumes."""
GRID_VOXELS = 13_561_730
"""Mean of the 41 spleen labels on the plan's grid of 1.5 x 1.5 x 2 mm, not cropped: an upper bound."""
CACHED_MB = GRID_VOXELS * (2 + 1) / 1e6
"""One channel of float16 and a label of uint8."""
RAW_OBJECTS, CACHED_OBJECTS = 2, 4
LOCATIONS_KB = 4096 * 4 * 4 / 1e3
"""Rows of class, x, y, z as int32 that training holds in memory, per case and label."""
MAPPED_FILES = 2
MAP_LIMIT = 65_530
"""Linux, vm.max_map_count: memory maps a process may hold."""
GRID_DEPTH = 134
READ_MB = 96 * 96 * GRID_DEPTH * (2 + 1) / 1e6
"""A patch of 96^3 reads whole lines along the fastest axis."""

VOLUME_S = 10.0
"""Assumed: one core, one mean volume, from gzip to the cache."""
CORES = 4
POD_START_S = 40.0
"""Assumed: driver, scheduling, image present on the node, imports."""
LOST_PODS = 0.02
"""Assumed share of pods that a spot node takes away half-way; what they have done stays in the cache."""
POD_MBPS, STORE_MBPS = 150.0, 2500.0
"""Assumed: one pod's, and the whole store's throughput in MB/s."""
MOST_SHARDS, MOST_PODS = 200, 50

WORKFLOW_LIMIT_BYTES = 1 << 20
"""Argo refuses a workflow whose compressed node status is larger; the request limit of etcd is 1.5 MiB."""
TASK_KB, COMPRESSED_TASK_KB = 57.0, 5.1
"""Measured on Kubeflow Pipelines 2.17.0 with Argo 4.0.8: node status of a phantom run over its tasks."""
FOLDS = 10
GPU_TYPES = ("NVIDIA-L4", "NVIDIA-A10G", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3")
NODES_A_SHARD = 5
"""Iteration, driver, executor, and the two of the task inside."""


@dataclass(frozen=True)
class Instance:
    """A machine of AWS, on demand, us-east-1, as listed at the end of 2025; prices change."""

    name: str
    gpus: str
    usd_an_hour: float
    samples_s: float
    """Assumed: patches of 96^3 trained on in a second, all GPUs together."""


INSTANCES = (
    Instance("g6.xlarge", "1 x L4", 0.80, 8),
    Instance("g5.xlarge", "1 x A10G", 1.01, 12),
    Instance("p4d.24xlarge", "8 x A100", 21.96, 290),
    Instance("p5.48xlarge", "8 x H100", 55.04, 580),
)
CPU_INSTANCE_USD = 0.1785
"""c7i.xlarge, 4 vCPU, an hour."""
STORE_USD_GB, PUT_USD, GET_USD = 0.023, 5e-6, 4e-7
"""S3 Standard: a GB and month, a request that writes, a request that reads."""


@dataclass(frozen=True)
class FanOut:
    """How volumes are dealt to pods."""

    volumes: int

    @property
    def shard(self) -> int:
        """Volumes a pod."""
        return math.ceil(self.volumes / MOST_SHARDS)

    @property
    def shards(self) -> int:
        """Tasks of the fan-out."""
        return math.ceil(self.volumes / self.shard)

    @property
    def pods(self) -> int:
        """At a time."""
        return min(self.shards, MOST_PODS)

    @property
    def ideal_s(self) -> float:
        """If all volumes were alike, nothing failed, and work could be dealt out evenly."""
        return POD_START_S * math.ceil(self.shards / self.pods) + self.volumes * self._volume_s / self.pods

    @property
    def _volume_s(self) -> float:
        return _pod_volume_s(1.0, self.pods, self.shard)

    def simulated_s(self, seed: int = 0) -> float:
        """From the first pod's start to the last one's end, by simulation."""
        dice = random.Random(seed)
        free = [0.0] * self.pods
        left = self.volumes
        last = 0.0
        while left:
            size = min(self.shard, left)
            left -= size
            start = heapq.heappop(free)
            last = max(last, end := start + self._shard_s(size, dice))
            heapq.heappush(free, end)
        return last

    def _shard_s(self, size: int, dice: random.Random) -> float:
        spread = 0.45
        sizes = (dice.lognormvariate(-spread * spread / 2, spread) for _ in range(size))
        work_s = sum(_pod_volume_s(one, self.pods, size) for one in sizes)
        again_s = POD_START_S if dice.random() < LOST_PODS else 0.0
        return POD_START_S + work_s + again_s


def _pod_volume_s(size: float, pods: int, shard: int) -> float:
    """A volume's share of its pod's time: all cores compute, or its bytes move, whichever is slower."""
    mbps = min(POD_MBPS, STORE_MBPS / pods)
    return size * max(VOLUME_S / min(CORES, shard), (RAW_MB + CACHED_MB) / mbps)


def compressed_bytes_a_shard(shards: int = MOST_SHARDS) -> float:
    """Share of one shard in the node status of a workflow as Argo keeps it: JSON, gzip, base64."""
    nodes = {name: node for shard in range(shards) for name, node in _nodes(shard)}
    packed = gzip.compress(json.dumps(nodes, separators=(",", ":")).encode(), mtime=0)
    return len(packed) * 4 / 3 / shards


def most_shards() -> int:
    """Shards whose node status still fits, to one figure: zlib is not the same everywhere."""
    exact = WORKFLOW_LIMIT_BYTES / compressed_bytes_a_shard()
    unit = 10 ** math.floor(math.log10(exact))
    return int(exact // unit * unit)


def _nodes(shard: int) -> list[tuple[str, dict[str, object]]]:
    """Nodes as Argo writes them for one iteration: names repeat, identities do not."""
    found = []
    for step, kind in enumerate(("DAG", "Pod", "DAG", "Pod", "Pod")[:NODES_A_SHARD]):
        key = hashlib.sha256(f"{shard}.{step}".encode()).hexdigest()
        name = f"segline-x7k2p.root.for-loop-1-driver.for-loop-1.iteration-item(0:{shard}).preprocess.{step}"
        node = {
            "id": f"segline-x7k2p-{int(key[:8], 16)}",
            "name": name,
            "displayName": name.rpartition(".")[2],
            "type": kind,
            "templateName": "comp-for-loop-1-for-loop-1",
            "templateScope": "local/segline-x7k2p",
            "phase": "Succeeded",
            "boundaryID": f"segline-x7k2p-{int(key[8:16], 16)}",
            "startedAt": f"2026-01-01T0{shard % 10}:{shard % 60:02}:{step:02}Z",
            "finishedAt": f"2026-01-01T1{shard % 10}:{shard % 60:02}:{step:02}Z",
            "progress": "1/1",
            "resourcesDuration": {"cpu": int(key[16:20], 16), "memory": int(key[20:24], 16)},
            "inputs": {"parameters": [{"name": "iteration-index", "value": str(shard)}]},
            "outputs": {"parameters": [{"name": "execution-id", "value": str(int(key[24:28], 16))}]},
            "hostNodeName": f"node-{shard % MOST_PODS}",
        }
        found.append((str(node["id"]), node))
    return found


def samples(volumes: int) -> int:
    """Patches of a training, assumed: 1 000 a volume, a million in all, but 20 a volume at least."""
    return volumes * max(20, min(1_000, 1_000_000 // volumes))


def size_table() -> list[str]:
    """What is stored and moved."""
    rows = [
        "| volumes | raw GB | cases GB | objects | manifest MB | index MB | locations GB | maps a process |"
    ]
    rows.append("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for count in VOLUMES:
        raw, cached = count * RAW_MB / 1e3, count * CACHED_MB / 1e3
        objects = count * (RAW_OBJECTS + CACHED_OBJECTS)
        manifest = count * len(_entry().model_dump_json()) / 1e6
        index = count * len(json.dumps({_entry().name: "0" * 64})) / 1e6
        held = count * LOCATIONS_KB / 1e6
        rows.append(
            f"| {count:,} | {raw:,.1f} | {cached:,.1f} | {objects:,} "
            f"| {manifest:,.2f} | {index:,.2f} | {held:,.2f} | {count * MAPPED_FILES:,} |"
        )
    return rows


def fanout_table() -> list[str]:
    """How long preprocessing takes, in one pod and in many."""
    rows = ["| volumes | volumes a pod | shards | pods at a time | one pod | fan-out | USD | workflow KiB |"]
    rows.append("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for count in VOLUMES:
        plan = FanOut(count)
        alone_s = POD_START_S + count * _pod_volume_s(1.0, 1, count)
        fanned_s = plan.simulated_s()
        usd = fanned_s / 3600 * plan.pods * CPU_INSTANCE_USD
        kib = max(10, round(plan.shards * compressed_bytes_a_shard() / 1024, -1))
        rows.append(
            f"| {count:,} | {plan.shard} | {plan.shards} | {plan.pods} "
            f"| {_time(alone_s)} | {_time(fanned_s)} | {usd:,.2f} | {kib:,.0f} |"
        )
    return rows


def training_table() -> list[str]:
    """Hours and dollars of one training."""
    heads = " | ".join(f"{one.name} ({one.gpus})" for one in INSTANCES)
    rows = [f"| volumes | patches | {heads} |", "|--:|--:|" + "--:|" * len(INSTANCES)]
    for count in VOLUMES:
        cells = []
        for one in INSTANCES:
            seconds = samples(count) / one.samples_s
            cells.append(f"{_time(seconds)}, {seconds / 3600 * one.usd_an_hour:,.0f} USD")
        rows.append(f"| {count:,} | {samples(count):,} | {' | '.join(cells)} |")
    return rows


def store_table() -> list[str]:
    """What the object store charges, and how fast training reads."""
    rows = ["| volumes | USD a month | USD to write all | USD to read all once |", "|--:|--:|--:|--:|"]
    for count in VOLUMES:
        gigabytes = count * (RAW_MB + CACHED_MB) / 1e3
        objects = count * (RAW_OBJECTS + CACHED_OBJECTS)
        rows.append(
            f"| {count:,} | {gigabytes * STORE_USD_GB:,.2f} "
            f"| {objects * PUT_USD:,.2f} | {objects * GET_USD:,.2f} |"
        )
    return rows


def workflow_table() -> list[str]:
    """How large the Workflow object of each pipeline becomes."""
    rows = [
        "| pipeline | folds | GPU types | tasks | node status KB | compressed KB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    cases = [("segline", 1, ()), ("segline", 1, GPU_TYPES)]
    cases += [("segline-folds", FOLDS, ()), ("segline-ensemble", FOLDS, GPU_TYPES)]
    for pipeline, folds, types in cases:
        count = tasks(pipeline, Demand("nvidia", "full", types), folds)
        rows.append(
            f"| {pipeline} | {folds} | {len(types) or 'any'} | {count} "
            f"| {count * TASK_KB:,.0f} | {count * COMPRESSED_TASK_KB:,.0f} |"
        )
    return rows


@cache
def tasks(pipeline: str, demand: Demand, folds: int) -> int:
    """Pods of stages in one run."""
    made = MessageToDict(for_cluster(pipeline, Variant(demand, {})).pipeline_spec)

    def within(dag: dict[str, Any]) -> int:
        count = 0
        for task in dag["tasks"].values():
            component = made["components"][task["componentRef"]["name"]]
            items = task.get("parameterIterator", {}).get("items", {})
            times = len(json.loads(items["raw"])) if "raw" in items else folds if items else 1
            count += times * (within(component["dag"]) if "dag" in component else 1)
        return count

    return within(made["root"]["dag"])


def limits_table() -> list[str]:
    """At how many volumes something breaks, first things first."""
    found = {
        "MinIO's volume of 20 GiB (overlay kind) is full": 20 * 1.073741824e3 / (RAW_MB + CACHED_MB),
        "MinIO's volume of 2 TiB (overlay gpu) is full": 2 * 1.099511628e6 / (RAW_MB + CACHED_MB),
        "a data set passes download's scratch of 200 GiB": 200 * 1.073741824e3 / RAW_MB,
        "cases pass train's scratch of 200 GiB": 200 * 1.073741824e3 / CACHED_MB,
        "one shard a volume: the Workflow object is too large": most_shards(),
        "training maps more files than Linux allows a process": MAP_LIMIT / MAPPED_FILES,
        "preprocess in one pod passes its timeout of 12 h": (12 * 3600 - POD_START_S)
        / _pod_volume_s(1, 1, CORES),
        "locations pass a quarter of train's 48 GiB": 12 * 1.073741824e6 / LOCATIONS_KB,
    }
    rows = ["| at about | what |", "|--:|---|"]
    rows += [
        f"| {_rounded(count):,} | {what} |" for what, count in sorted(found.items(), key=lambda item: item[1])
    ]
    fastest = INSTANCES[-1]
    rows += [
        "",
        f"{fastest.name} reads {fastest.samples_s * READ_MB / 1e3:.1f} GB/s of cases while it trains.",
    ]
    return rows


def tables() -> dict[str, str]:
    """Every table of SCALING.md under its heading."""
    made = {
        "Bytes and objects": size_table(),
        "Preprocessing": fanout_table(),
        "The workflow of a run": workflow_table(),
        "One training": training_table(),
        "The object store": store_table(),
        "What breaks first": limits_table(),
    }
    return {heading: "\n".join(rows) + "\n" for heading, rows in made.items()}


def with_tables(text: str) -> str:
    """``text`` with the tables below their headings replaced."""
    for heading, table in tables().items():
        before, mark, rest = text.partition(f"## {heading}\n")
        kept, begin, old = rest.partition(BEGIN)
        _, end, after = old.partition(END)
        if not (mark and begin and end):
            raise SystemExit(f"{SCALING}: no place for the table {heading!r}")
        text = before + mark + kept + begin + table + end + after
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="into manifests/SCALING.md")
    if parser.parse_args(arguments).write:
        SCALING.write_text(with_tables(SCALING.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for heading, table in tables().items():
        print(f"{heading}\n\n{table}")


def _entry() -> CaseEntry:
    """A case as the manifest of a data set lists it."""
    image, label = (
        FileEntry(path=f"{folder}/spleen_100000.nii.gz", sha256="0" * 64)
        for folder in ("imagesTr", "labelsTr")
    )
    return CaseEntry(
        name="spleen_100000",
        images=(image,),
        label=label,
        shape=(512, 512, 89),
        spacing_mm=(0.793, 0.793, 5.0),
        orientation="LAS",
        label_voxels={0: 23_000_000, 1: 200_000},
    )


def _rounded(count: float) -> int:
    unit = 10 ** (math.floor(math.log10(count)) - 1)
    return int(count // unit * unit)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min"


if __name__ == "__main__":
    main()
