#!/usr/bin/env python3
"""Time eager float32 PyTorch on network s8: training step and inference, per norm and format.

Prints one JSON object per line: a "context" line, then a line per measurement, and with
--interleave a line per norm with the ratio, followed by a table on stderr. See README.md.

Exit status: 0, 1 (the interleaved command failed), 2 (bad usage), 77 (PyTorch is not installed).
"""
import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import time

# glibc gives the large activation buffers back to the system after each step and faults them in
# again at the next; these settings keep them.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592",
          "MALLOC_TOP_PAD_": "268435456"}
ADDED = "CLNORM_PEER_ADDED"  # names of the variables set here, kept from the interleaved command
NORMS = ("bn", "ln", "gn", "none")
FORMATS = ("channels_last", "contiguous")
# kernel, channels in, channels out; "P" is 2x2 max pooling
LAYERS = ((3, 3, 16), (3, 16, 32), (1, 32, 16), "P", (3, 16, 16), (3, 16, 32), (3, 32, 32),
          (1, 32, 16), "P", (3, 16, 32), (3, 32, 32), (3, 32, 32))


def arguments():
    p = argparse.ArgumentParser(description="Time eager fp32 PyTorch on network s8 (CPU).")
    p.add_argument("--norm", default="bn,ln,gn,none", help="comma-separated (%(default)s)")
    p.add_argument("--format", default="channels_last,contiguous",
                   help="memory formats, comma-separated (%(default)s)")
    p.add_argument("--what", default="step,infer", help="step, infer or both (%(default)s)")
    p.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    p.add_argument("--batch", type=int, default=128, help="images a batch (%(default)s)")
    p.add_argument("--seconds", type=float, default=3, help="time of one chunk (%(default)s)")
    p.add_argument("--rounds", type=int, default=3,
                   help="chunks of each measurement, taken in turn (%(default)s)")
    p.add_argument("--malloc", choices=("tuned", "default"), default="tuned")
    p.add_argument("--interleave", metavar="CMD",
                   help="run CMD in turn with the training steps of each norm; {norm}, {batch} and "
                        "{threads} are filled in; its last JSON line with images_per_second counts")
    args = p.parse_args()
    for name, known in (("norm", NORMS), ("format", FORMATS), ("what", ("step", "infer"))):
        words = getattr(args, name).split(",")
        for word in words:
            if word not in known:
                p.error(f"--{name}: {word!r} is none of {', '.join(known)}")
        setattr(args, name, words)
    if args.threads < 1 or args.batch < 1 or args.rounds < 1 or not args.seconds > 0:
        p.error("--threads, --batch, --rounds and --seconds must be positive")
    if args.interleave is not None and "step" not in args.what:
        p.error("--interleave compares training steps: --what must name step")
    return args


def restart_tuned(args):
    """malloc and OpenMP read their settings at process start: set them and start again."""
    if ADDED in os.environ:
        return
    wanted = {"OMP_NUM_THREADS": str(args.threads)}
    if args.malloc == "tuned":
        wanted.update(MALLOC)
    env = dict(os.environ)
    env.update(wanted)
    env[ADDED] = ",".join(name for name in wanted if name not in os.environ)
    os.execve(sys.executable, [sys.executable] + sys.argv, env)


def command_environment():
    env = dict(os.environ)
    for name in env.pop(ADDED, "").split(","):
        env.pop(name, None)
    return env


def network(torch, norm):
    nn = torch.nn
    norms = {"bn": nn.BatchNorm2d, "ln": lambda c: nn.GroupNorm(1, c),
             "gn": lambda c: nn.GroupNorm(4, c)}
    layers = []
    for layer in LAYERS:
        if layer == "P":
            layers.append(nn.MaxPool2d(2))
            continue
        k, c_in, c_out = layer
        layers.append(nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False))
        if norm in norms:
            layers.append(norms[norm](c_out))
        layers.append(nn.ReLU(inplace=True))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 10, 1), nn.Flatten()]
    return nn.Sequential(*layers)


def fold_batch_norm(torch, model):
    """The inference form of a BN network: each norm folded into the convolution before it."""
    layers = []
    for layer in model.eval():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layers[-1] = torch.nn.utils.fusion.fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return torch.nn.Sequential(*layers)


class Case:
    """One measurement: a callable that does one batch, and the milliseconds it took so far."""

    def __init__(self, torch, what, norm, form, args):
        torch.manual_seed(1)
        self.name = {"what": what, "norm": norm, "format": form}
        self.batch, self.ms, self.rounds = args.batch, [], []
        memory = torch.channels_last if form == "channels_last" else torch.contiguous_format
        model = network(torch, norm.removesuffix("-folded"))
        if norm.endswith("-folded"):
            model = fold_batch_norm(torch, model)
        model = model.to(memory_format=memory)
        x = torch.randn(args.batch, 3, 32, 32).to(memory_format=memory)
        y = torch.randint(0, 10, (args.batch,))
        self.run = self.stepper(torch, model, x, y) if what == "step" else \
            self.reader(torch, model.eval(), x)
        for _ in range(3):
            self.run()

    @staticmethod
    def stepper(torch, model, x, y):
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True,
                                    fused=True)

        def step():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        return step

    @staticmethod
    def reader(torch, model, x):
        def read():
            with torch.inference_mode():
                model(x)
        return read

    def chunk(self, seconds):
        self.run()  # the caches hold another case's data
        times, end = [], time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            self.run()
            times.append(1e3 * (time.perf_counter() - start))
        self.ms += times
        self.rounds.append(1e3 * self.batch / statistics.median(times))

    def result(self):
        median = statistics.median(self.ms)
        return {"peer": "pytorch", **self.name, "batch": self.batch, "samples": len(self.ms),
                "median_ms": round(median, 3), "min_ms": round(min(self.ms), 3),
                "images_per_second": round(1e3 * self.batch / median, 1),
                "per_round": [round(r, 1) for r in self.rounds]}


def run_command(args, norm):
    words = [w.replace("{norm}", norm).replace("{batch}", str(args.batch))
             .replace("{threads}", str(args.threads)) for w in shlex.split(args.interleave)]
    try:
        done = subprocess.run(words, env=command_environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"pytorch.py: --interleave: {error}")
    for line in reversed(done.stdout.splitlines()):
        try:
            rate = json.loads(line)["images_per_second"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(rate, (int, float)) and rate > 0:
            return rate
    sys.exit(f"pytorch.py: --interleave: no JSON line with images_per_second from: "
             f"{shlex.join(words)}")


def ratio_line(norm, cases, theirs):
    """The command's rate over that of the format that was faster in the same round; the median
    over the rounds and its 95 % bootstrap interval."""
    best = [max(rates) for rates in zip(*(case.rounds for case in cases))]
    fastest = max(cases, key=lambda case: statistics.median(case.rounds))
    ratios = [c / p for c, p in zip(theirs, best)]
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {"norm": norm, "format": fastest.name["format"], "rounds": len(ratios),
            "pytorch_images_per_second": round(statistics.median(best), 1),
            "command_images_per_second": round(statistics.median(theirs), 1),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_low": round(medians[50], 3), "ratio_high": round(medians[1949], 3)}


def print_table(lines):
    print("norm  PyTorch's best format  PyTorch/s  command/s  ratio  95 % interval",
          file=sys.stderr)
    for r in lines:
        print(f"{r['norm']:<4}  {r['format']:<21}  {r['pytorch_images_per_second']:>9.0f}  "
              f"{r['command_images_per_second']:>9.0f}  {r['ratio']:>5.2f}  "
              f"{r['ratio_low']:.2f} .. {r['ratio_high']:.2f}", file=sys.stderr)


def measure(torch, args):
    def cases_of(what, norm):
        return [Case(torch, what, norm, form, args) for form in args.format]

    steps = {norm: cases_of("step", norm) for norm in args.norm} if "step" in args.what else {}
    reads = []
    if "infer" in args.what:
        for norm in args.norm + (["bn-folded"] if "bn" in args.norm else []):
            reads += cases_of("infer", norm)
    theirs = {norm: [] for norm in steps}
    for number in range(args.rounds):
        for norm, cases in steps.items():
            if args.interleave and number % 2:  # change sides, so that a drift favours neither
                theirs[norm].append(run_command(args, norm))
            for case in cases:
                case.chunk(args.seconds)
            if args.interleave and number % 2 == 0:
                theirs[norm].append(run_command(args, norm))
        for case in reads:
            case.chunk(args.seconds)
    for case in [c for cases in steps.values() for c in cases] + reads:
        print(json.dumps(case.result()), flush=True)
    if args.interleave:
        lines = [ratio_line(norm, cases, theirs[norm]) for norm, cases in steps.items()]
        for line in lines:
            print(json.dumps(line), flush=True)
        print_table(lines)


def main():
    args = arguments()
    restart_tuned(args)
    try:
        import torch
    except ImportError:
        print("pytorch.py: skipped, PyTorch is not installed (pip install torch)", file=sys.stderr)
        sys.exit(77)
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0]
    print(json.dumps({"context": {
        "torch": torch.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": args.threads, "cpus": os.cpu_count(), "malloc": args.malloc,
        "load_average": round(load, 2), "seconds": args.seconds, "rounds": args.rounds}}),
        flush=True)
    if load > 0.5:
        print(f"pytorch.py: load average {load:.1f}: other work will disturb the timings",
              file=sys.stderr)
    measure(torch, args)


if __name__ == "__main__":
    main()
