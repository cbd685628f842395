"""bench/peers/run: its arithmetic, its tables and its messages, with fakes on both sides (fake.py).

usage: test.py DIR    (works in DIR, which it empties)
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = os.path.join(HERE, "..", "..", "bench", "peers", "run")
FAKE = os.path.join(HERE, "fake.py")
CLPEAK = """
Platform: One
  Device: first one
    Clock frequency : 2596 MHz

    Global memory bandwidth (GBPS)
      float   : 6.03
      float16 : 20.65
      float8  : 16.31

    Single-precision compute (GFLOPS)
      float   : 1.67
      float16 : 43.46

    Integer compute (GIOPS)
      int   : 900
      float : 900

Platform: Two
clCreateContextFromType (-1)
"""

# By hand from the times in fake.py. Ratio of a round: the faster format's time over clnorm's.
# bn: 0.1/0.1, 0.15/0.1, 0.3/0.1. ln: 0.2/0.2, 0.2/0.1, 0.2/0.4. With three rounds, the 95 % interval of
# the median is from the smallest to the largest: each is the median of 7 in 27 draws.
TABLE = """\
Fake version=1.0 threads=1

Whole network, images per second
row             Fake           clnorm  channels_last  contiguous  ratio  95 % interval
step/s8/bn/64   eager             640            320         213   1.50   1.00 .. 3.00
step/s8/bn/64   torch.compile     640           1280           -   0.50   0.50 .. 0.50
step/s8/ln/64   eager             320            213         320   1.00   0.50 .. 2.00
infer/s8/ln/64  eager            1280            640         320   2.00   2.00 .. 2.00

Single layers, milliseconds
row                                     Fake   clnorm  channels_last  contiguous  ratio  95 % interval
alone/0.conv/-/forward                  eager   2.000          4.000       6.000   2.00   2.00 .. 2.00
alone/0.conv/-/backward-params          eager   4.000          9.000       6.000   1.50   1.50 .. 1.50
alone/1.norm/bn/forward                 eager   1.000          1.000       2.000   1.00   1.00 .. 1.00
alone/1.norm/bn/backward                eager   3.000          3.000       3.000   1.00   1.00 .. 1.00
stage/0.conv+norm+relu/bn/forward       eager   2.000          4.000       5.000   2.00   2.00 .. 2.00
stage/3.conv+norm+relu+pool/bn/forward  eager   3.000          6.000       3.000   1.00   1.00 .. 1.00
stage/sum/bn/forward                    eager   6.000         11.000       9.000   1.50   1.50 .. 1.50
stage/sum/bn/backward                   eager  40.000        110.000      60.000   1.50   1.50 .. 1.50
stage/0.conv+norm+relu/ln/forward       eager   2.000          4.000       6.000   2.00   2.00 .. 2.00
"""


class Peers(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        shutil.rmtree(SCRATCH, ignore_errors=True)
        os.makedirs(SCRATCH)
        os.chdir(SCRATCH)
        python = shlex.quote(sys.executable)
        self.program("clnorm", f'exec {python} -B {shlex.quote(FAKE)} clnorm "$@"')
        self.peer = f"{python} -B {shlex.quote(FAKE)} peer"

    @staticmethod
    def program(name, line):
        with open(name, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{line}\n")
        os.chmod(name, 0o755)

    def run_it(self, *args, fake=True, **env):
        """(status, stdout, lines of stderr)"""
        command = [sys.executable, "-B", RUN, "--clnorm", "./clnorm", "--threads", "1", "--batch",
                   "64", "--model", "s8", "--rounds", "3", *args] + (["--peer", self.peer] if fake else [])
        done = subprocess.run(command, env={**os.environ, "FAKE_LOG": "log", **env}, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout, done.stderr.splitlines()

    def test_table(self):
        status, out, err = self.run_it("--norm", "bn,ln", "--what", "step,infer,layers", "--json", "j",
                                       "--markdown", "m")
        self.assertEqual(status, 0, err)
        self.assertEqual(out.strip(), TABLE.strip())
        self.assertEqual(err[-1], "run: left out, since clnorm has no row for them: infer/s8/bn/64 "
                         "stage/3.conv+norm+relu/ln/forward stage/sum/ln/forward stage/sum/ln/backward")

    def test_json_and_markdown(self):
        status, _, err = self.run_it("--norm", "bn", "--what", "step", "--json", "j", "--markdown", "m")
        self.assertEqual(status, 0, err)
        with open("j", encoding="utf-8") as file:
            told = json.load(file)
        self.assertEqual(told["context"]["peer"]["peer"], "Fake")
        self.assertEqual(told["context"]["clnorm"], {"device": "a fake"})
        row = told["rows"][0]
        self.assertEqual((row["name"], row["mode"]), ("step/s8/bn/64", "eager"))
        self.assertEqual(row["clnorm_seconds"], [0.1, 0.1, 0.1])
        self.assertEqual(row["peer_seconds"]["contiguous"], [0.3, 0.15, 0.3])
        for got, wanted in zip(row["ratios"], (1, 1.5, 3)):
            self.assertAlmostEqual(got, wanted)
        with open("m", encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "### Whole network, images per second")
        self.assertIn("| step/s8/bn/64 | eager | 640 | 320 | 213 | 1.50 | 1.00 .. 3.00 |", lines)

    def test_default_network(self):
        """That of clnorm."""
        with open(os.path.join(HERE, "..", "..", "runtime", "net.h"), encoding="utf-8") as file:
            name = re.search(r'#define CLN_NET_DEFAULT "(\w+)"', file.read()).group(1)
        for script in (RUN, os.path.join(os.path.dirname(RUN), "pytorch.py")):
            with open(script, encoding="utf-8") as file:
                self.assertIn(f'"--model", default="{name}"', file.read())

    def test_sides_swap(self):
        """The peer first, then clnorm, then clnorm first: and each is asked for the same work."""
        self.run_it("--norm", "ln", "--what", "step", "--seconds", "0.5")
        with open("log", encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         ["peer", "clnorm", "clnorm", "peer", "peer", "clnorm"])
        self.assertEqual(set(lines), {
            "peer step ln 0.5", "clnorm bench step --model s8 --norm ln --batch 64 --min-time 0.5 --json - "
                                "--filter ^step/ threads=1"})

    def test_faults(self):
        for fault, end in (("status", "status 1: clnorm: no OpenCL device"),
                           ("text", 'has not the shape {"context": ..., "benchmarks": [...]}'),
                           ("peer", "the peer ended with status 5")):
            status, out, err = self.run_it("--what", "step", FAKE_FAULT=fault)
            self.assertEqual((status, out, len(err)), (1, "", 1), err)
            self.assertTrue(err[0].startswith("run: ") and err[0].endswith(end), err)

    def test_nothing_in_common(self):
        status, out, err = self.run_it("--what", "infer", "--norm", "bn")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err[-1], "run: no row of clnorm is one of the peer's")

    def test_missing_clnorm(self):
        status, out, err = self.run_it("--clnorm", "nowhere/clnorm")
        self.assertEqual((status, out, len(err)), (1, "", 1), err)
        self.assertIn("nowhere/clnorm: no such program", err[0])

    def test_unwritable(self):
        status, out, err = self.run_it("--what", "step", "--json", "nowhere/j")
        self.assertEqual((status, out, len(err)), (1, "", 1), err)
        self.assertFalse(os.path.exists("log"))

    def test_usage(self):
        for wrong in (("--norm", "bn,xn"), ("--rounds", "0"), ("--threads", "100000")):
            status, _, err = self.run_it(*wrong)
            self.assertEqual(status, 2, wrong)
            self.assertIn(wrong[0], err[-1])

    def test_no_pytorch(self):
        os.makedirs("without")
        with open("without/torch.py", "w", encoding="utf-8") as file:
            file.write("raise ImportError('not here')\n")
        status, out, err = self.run_it(fake=False, PYTHONPATH=os.path.join(SCRATCH, "without"))
        self.assertEqual((status, out, len(err)), (77, "", 1), err)
        self.assertIn("has no PyTorch (not here); pip install torch", err[0])

    def test_clpeak(self):
        os.makedirs("bin")
        status, out, err = self.run_it("--what", "clpeak", PATH=os.path.join(SCRATCH, "bin"))
        self.assertEqual((status, out), (0, ""))
        self.assertEqual(err, ["run: clpeak is not installed: left out"])
        with open("said", "w", encoding="utf-8") as file:
            file.write(CLPEAK)
        self.program("bin/clpeak", "while IFS= read -r line; do echo \"$line\"; done <said")
        status, out, err = self.run_it("--what", "clpeak", PATH=os.path.join(SCRATCH, "bin"))
        self.assertEqual((status, err), (0, []))
        self.assertEqual(out.splitlines()[-1].split(), ["clpeak", "first", "one", "43.5", "20.6"])


if __name__ == "__main__":
    SCRATCH = os.path.abspath(sys.argv.pop(1))
    unittest.main()
