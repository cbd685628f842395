#!/usr/bin/env python3
"""Time PyTorch with a network, on the CPU or (--cuda) on a GPU: training step, inference, single layers.

    pytorch.py --norm bn --what step        one JSON object a line: the context, then a row each
    pytorch.py --serve                      for bench/peers/run: answers requests on stdin

A request is a line {"what": "step" | "infer" | "convolutions" | "layers", "norm": NORM, "seconds": S};
the answer is a line {"rows": [...]}. The networks of earlier requests are kept. See README.md.

Exit status: 0, 1 (failed), 2 (bad usage), 77 (PyTorch is not installed).
"""
import argparse
import json
import os
import re
import statistics
import sys
import time

import cases

# glibc gives the large activation buffers back to the system after each step and faults them in
# again at the next; these settings keep them.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592",
          "MALLOC_TOP_PAD_": "268435456"}
STARTED = "CLNORM_PEER_STARTED"
WHAT = ("step", "infer", "convolutions", "layers")


def arguments():
    p = argparse.ArgumentParser(description="Time PyTorch on a network.")
    p.add_argument("--serve", action="store_true", help="take requests from stdin")
    p.add_argument("--what", default=",".join(WHAT), help="comma-separated (%(default)s)")
    p.add_argument("--norm", default="bn,ln,gn,in,none", help="comma-separated (%(default)s)")
    p.add_argument("--mode", default=",".join(cases.MODES),
                   help="of step and inference, comma-separated (%(default)s)")
    p.add_argument("--model", default="s8n", choices=cases.models(), help="(%(default)s)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                   help="(%(default)s)")
    p.add_argument("--batch", type=int, default=128, help="images a batch (%(default)s)")
    p.add_argument("--seconds", type=float, default=2, help="time of one row (%(default)s)")
    p.add_argument("--cuda", action="store_true", help="on a GPU instead of the CPU")
    p.add_argument("--malloc", choices=("tuned", "default"), default="tuned")
    args = p.parse_args()
    for name, known in (("norm", cases.NORMS), ("mode", cases.MODES), ("what", WHAT)):
        words = getattr(args, name).split(",")
        for word in words:
            if word not in known:
                p.error(f"--{name}: {word!r} is none of {', '.join(known)}")
        setattr(args, name, words)
    if args.threads < 1 or args.batch < 1 or not args.seconds > 0:
        p.error("--threads, --batch and --seconds must be positive")
    return args


def restart(args):
    """malloc, OpenMP and the compiler's workers read their settings at start: set them, start again."""
    if STARTED in os.environ:
        return
    settings = {STARTED: "1", "OMP_NUM_THREADS": str(args.threads),
                "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if args.malloc == "tuned":
        settings.update(MALLOC)
    os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **settings})


def say(text):
    print(f"pytorch.py: {text}", file=sys.stderr, flush=True)


class Peer:
    def __init__(self, torch, args):
        self.modes = list(args.mode)
        self.finish = torch.cuda.synchronize if args.cuda else lambda: None
        # A GPU works behind what is asked of it: it is waited for once after so many repetitions;
        # clnorm's bench, too, waits for samples of many steps.
        self.repeat = 16 if args.cuda else 1
        self.builder = cases.Builder(torch, args.model, args.batch)
        self.networks = {}  # (what, norm) -> cases

    def answer(self, what, norm, seconds):
        """Rows, one for each case: name, mode, format, batch, seconds (median), min, samples."""
        if what in ("step", "infer"):
            found = self.network_cases(what, norm)
        else:
            found = self.layer_cases(what, norm)
        return [self.measure(case, seconds) for case in found]

    def network_cases(self, what, norm):
        if (what, norm) not in self.networks:
            modes = self.modes + (["folded"] if (what, norm) == ("infer", "bn") else [])
            made = (self.network(what, norm, form, mode) for mode in modes for form in cases.FORMATS)
            self.networks[what, norm] = [case for case in made if case]
        return self.networks[what, norm]

    def network(self, what, norm, form, mode):
        """None: this mode does not run here (said once, on stderr)."""
        if mode not in self.modes + ["folded"]:
            return None
        case = self.builder.network(what, norm, form, mode)
        try:
            for _ in range(3):
                case.run()
        except Exception as error:  # a compiler that is missing or fails has many exceptions
            if mode == "eager":
                raise
            reason = " ".join(str(error).split())[:200]
            say(f"{mode} is left out: {type(error).__name__}: {reason}")
            self.modes.remove(mode)
            return None
        return case

    def layer_cases(self, what, norm):
        for form in cases.FORMATS:
            if what == "convolutions":
                yield from self.builder.convolutions(form)
            else:
                yield from self.builder.norms(norm, form)
                yield from self.builder.stages(norm, form)

    def measure(self, case, seconds):
        case.run()  # the caches hold another case's data
        self.finish()
        repeat = 1 if case.name.startswith("infer/") else self.repeat
        times, end = [], time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(repeat):
                case.run()
            self.finish()
            times.append((time.perf_counter() - start) / repeat)
        return {"name": case.name, "mode": case.mode, "format": case.format,
                "batch": self.builder.batch, "seconds": statistics.median(times),
                "min": min(times), "samples": len(times)}


def context(torch, args):
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v([0-9.]+)", torch.__config__.show())
    return {"peer": "PyTorch", "version": torch.__version__,
            "onednn": onednn.group(1) if onednn else None,
            "device": torch.cuda.get_device_name() if args.cuda else "CPU",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(), "cpus": os.cpu_count(), "malloc": args.malloc,
            "load_average": round(os.getloadavg()[0], 2)}


def standalone(args):
    """The requests that measure everything once."""
    for what in args.what:
        for norm in ["-"] if what == "convolutions" else args.norm:
            yield {"what": what, "norm": norm, "seconds": args.seconds}


def serve(torch, args, out):
    about = context(torch, args)
    if about["load_average"] > 0.5:
        say(f"load average {about['load_average']:.1f}: other work will disturb the timings")
    peer = Peer(torch, args)
    print(json.dumps({"context": about}), file=out, flush=True)
    for request in map(json.loads, sys.stdin) if args.serve else standalone(args):
        rows = peer.answer(request["what"], request["norm"], request["seconds"])
        lines = [{"rows": rows}] if args.serve else rows
        for line in lines:
            print(json.dumps(line), file=out, flush=True)


def main():
    args = arguments()
    restart(args)
    out = os.fdopen(os.dup(1), "w")  # what libraries print must not get between the answers
    os.dup2(2, 1)
    try:
        import torch
    except ImportError as error:
        say(f"skipped: {sys.executable} has no PyTorch ({error}); pip install torch")
        sys.exit(77)
    torch.set_num_threads(args.threads)
    if args.cuda:
        if not torch.cuda.is_available():
            say("skipped: this PyTorch finds no CUDA device")
            sys.exit(77)
        torch.set_default_device("cuda")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # float32, as everywhere else
    try:
        serve(torch, args, out)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)


if __name__ == "__main__":
    main()
