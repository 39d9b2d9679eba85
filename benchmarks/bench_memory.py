"""Peak memory of training steps: the most that a process holds, less what it held after the import.

Import means that a training step of a tiny layer has run too: PyTorch loads much of itself only then.

A process each for atrous and for PyTorch in both layouts, of which the one that needs less counts. Memory is resident
pages, as Linux counts them; in the environment as it is, since keeping freed pages would cost PyTorch memory.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import machine
from atrous import _cpu
from environment import environments
from report import geometric_mean

PEERS = ["atrous", "pytorch nchw", "pytorch channels-last"]
STEPS = 3  # in the first the optimizer has no state yet; the allocators' caches are full after the second
RESULTS = Path(__file__).resolve().parent / "results" / "bench_memory.json"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small networks alone")
    parser.add_argument("--threads", type=int, default=_cpu.default_num_threads(), help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="only networks whose name contains TEXT")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--worker", nargs=2, metavar=("NETWORK", "PEER"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        print(peak(*args.worker, args.threads))
        return 0
    if not Path("/proc/self/status").exists():
        print("bench_memory needs /proc, which Linux has", file=sys.stderr)
        return 0
    from networks import NETWORKS, QUICK_NETWORKS

    chosen = [n.name for n in (QUICK_NETWORKS if args.quick else NETWORKS) if args.only.lower() in n.name.lower()]
    about = machine.describe()
    peers = PEERS if about["torch"] else PEERS[:1]
    print(f"peak memory of a training step less that after import, MB; {args.threads} threads, {about['cpu']}\n")
    print(f"{'':32} {'atrous':>9} {'PyTorch':>9} {'ratio':>6}")
    rows = []
    for name in chosen:
        rows.append({"row": name, "column": "peak memory", "line": "memory", **measure(name, peers, args.threads)})
        print_row(rows[-1])
    found = [row["ratios"]["pytorch"] for row in rows if row["ratios"]]
    if found:
        print(f"{'geometric mean':52} {geometric_mean(found):5.2f}×   PyTorch's bytes over atrous's: more is better")
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    result = {"family": "memory", "date": date, "quick": args.quick, "threads": args.threads, "machine": about}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result | {"total": "", "results": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"figures: {args.json}")
    return 0


def measure(network: str, peers: Sequence[str], threads: int) -> dict[str, Any]:
    """The bytes of each competitor, and the ratio of the better PyTorch's to ours."""
    environment = environments(threads)[0] | {"OMP_WAIT_POLICY": "passive"}  # nothing is timed: nobody has to spin
    found = {}
    for peer in peers:
        command = [sys.executable, __file__, "--threads", str(threads), "--worker", network, peer]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        found[peer] = int(done.stdout)
    theirs = [nbytes for peer, nbytes in found.items() if peer != "atrous"]
    return {"bytes": found, "ratios": {"pytorch": min(theirs) / found["atrous"]} if theirs else {}}


def print_row(row: dict[str, Any]) -> None:
    """One line of the report."""
    ours = row["bytes"]["atrous"]
    theirs = [nbytes for peer, nbytes in row["bytes"].items() if peer != "atrous"]
    other = f"{min(theirs) / 1e6:9.1f} {row['ratios']['pytorch']:5.2f}×" if theirs else f"{'–':>9}"
    print(f"{row['row']:32} {ours / 1e6:9.1f} {other}", flush=True)


def peak(network: str, peer: str, threads: int) -> int:
    """Runs in a process of its own: imports one library, notes what it holds, trains, and returns the bytes on top."""
    if peer == "atrous":
        import atrous as library
        from atrous.nn.functional import cross_entropy
    else:
        import torch as library
        from torch.nn.functional import cross_entropy
    import networks

    library.set_num_threads(threads)
    one = library.zeros(1, dtype=library.int64)
    train(library, cross_entropy, library.nn.Linear(1, 2), library.randn(1, 1), one)  # loads what loads at first use
    gc.collect()
    found = next(n for n in networks.NETWORKS if n.name == network)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    model, x = found.make(library), library.randn(*found.shape)
    labels = library.zeros(*found.labels_shape, dtype=library.int64)
    if layout := networks.LAYOUTS.get(peer.removeprefix("pytorch ")):
        memory_format = getattr(library, layout)
        model, x = model.to(memory_format=memory_format), x.contiguous(memory_format=memory_format)
    train(library, cross_entropy, model, x, labels)
    return resident("VmHWM") - before


def train(library: Any, cross_entropy: Any, model: Any, x: Any, labels: Any) -> None:
    """Some steps, in the same lines for both libraries."""
    fused = {} if library.__name__ == "atrous" else {"fused": True}  # ours always is
    adam = library.optim.Adam(model.parameters(), **fused)
    for _ in range(STEPS):
        adam.zero_grad()
        loss = cross_entropy(model(x), labels)
        loss.backward()
        adam.step()


def resident(field: str) -> int:
    """Bytes from /proc: VmRSS is what the process holds, VmHWM the most it ever held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    sys.exit(main())
