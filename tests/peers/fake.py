"""Plays clnorm (`fake.py clnorm bench ...`) and the peer (`fake.py peer`) for test.py: both give the
times below, the next one of a row's list each time that it is asked for. Every call leaves a line in
the file that $FAKE_LOG names. $FAKE_FAULT makes clnorm fail in one way or another."""
import json
import os
import re
import sys

# Single numbers are the same in every round.
CLNORM = {
    "step/s8/bn/64": 0.1, "step/s8/ln/64": [0.2, 0.1, 0.4],
    "infer/s8/ln/64": 0.05,  # and none for bn
    "alone/0.conv/-/forward": 0.002, "alone/0.conv/-/backward-params": 0.004,
    "alone/1.norm/bn/forward": 0.001, "alone/1.norm/bn/backward": 0.003,
    # the pooling is worded in another way than the peer's
    "stage/0.conv+norm+relu/bn/forward": 0.002, "stage/3.conv+norm+relu+pool/bn/forward": 0.003,
    "stage/0.conv+norm+relu/bn/backward": 0.010, "stage/3.conv+norm+relu+pool/bn/backward": 0.020,
    "stage/7.conv/-/forward": 0.001, "stage/7.conv/-/backward-data": 0.004,
    "stage/7.conv/-/backward-params": 0.006, "stage/loss/-/forward": 7,
    # ln: a stage was skipped, so that the sums are not of the same layers
    "stage/0.conv+norm+relu/ln/forward": 0.002, "stage/3.conv+norm+relu/ln/forward": None,
    "stage/0.conv+norm+relu/ln/backward": 0.002,
}
PEER = {
    ("step/s8/bn/64", "eager"): {"channels_last": [0.1, 0.2, 0.4], "contiguous": [0.3, 0.15, 0.3]},
    ("step/s8/bn/64", "compile"): {"channels_last": 0.05},
    ("step/s8/ln/64", "eager"): {"channels_last": 0.3, "contiguous": 0.2},
    ("infer/s8/bn/64", "eager"): {"channels_last": 0.1, "contiguous": 0.1},
    ("infer/s8/ln/64", "eager"): {"channels_last": 0.1, "contiguous": 0.2},
    ("alone/0.conv/-/forward", "eager"): {"channels_last": 0.004, "contiguous": 0.006},
    ("alone/0.conv/-/backward-params", "eager"): {"channels_last": 0.009, "contiguous": 0.006},
    ("alone/1.norm/bn/forward", "eager"): {"channels_last": 0.001, "contiguous": 0.002},
    ("alone/1.norm/bn/backward", "eager"): {"channels_last": 0.003, "contiguous": 0.003},
    ("stage/0.conv+norm+relu/bn/forward", "eager"): {"channels_last": 0.004, "contiguous": 0.005},
    ("stage/0.conv+norm+relu/bn/backward", "eager"): {"channels_last": 0.05, "contiguous": 0.02},
    ("stage/3.conv+norm+relu+maxpool/bn/forward", "eager"): {"channels_last": 0.006,
                                                             "contiguous": 0.003},
    ("stage/3.conv+norm+relu+maxpool/bn/backward", "eager"): {"channels_last": 0.05,
                                                              "contiguous": 0.03},
    ("stage/7.conv/-/forward", "eager"): {"channels_last": 0.001, "contiguous": 0.001},
    ("stage/7.conv/-/backward", "eager"): {"channels_last": 0.01, "contiguous": 0.01},
    ("stage/0.conv+norm+relu/ln/forward", "eager"): {"channels_last": 0.004, "contiguous": 0.006},
    ("stage/0.conv+norm+relu/ln/backward", "eager"): {"channels_last": 0.004, "contiguous": 0.006},
    ("stage/3.conv+norm+relu/ln/forward", "eager"): {"channels_last": 0.004, "contiguous": 0.006},
    ("stage/3.conv+norm+relu/ln/backward", "eager"): {"channels_last": 0.004, "contiguous": 0.006},
}
WANTED = {"step": "^step/s8/{}/", "infer": "^infer/s8/{}/", "convolutions": "^alone/.*conv",
          "layers": "^(alone/.*norm|stage/.*)/({}|-)/"}


def log(*words):
    """Returns how often this line was written before."""
    line = " ".join(words) + "\n"
    with open(os.environ["FAKE_LOG"], "a+", encoding="utf-8") as file:
        file.seek(0)
        before = file.readlines().count(line)
        file.write(line)
    return before


def at(times, number):
    return times[number] if isinstance(times, list) else times


def clnorm(args):
    options = dict(zip(args[2::2], args[3::2]))
    fault = os.environ.get("FAKE_FAULT")
    if fault == "status":
        print("some notice", file=sys.stderr)
        sys.exit("clnorm: no OpenCL device")
    if fault == "text":
        print("s8 bn batch 64 640 images/s")
        return
    number = log("clnorm", *args, "threads=" + os.environ["POCL_MAX_PTHREAD_COUNT"])
    rows = [{"name": name, "run_type": "iteration", "median": at(times, number), "samples": [],
             "note": "a field that nobody knows"} for name, times in CLNORM.items()
            if re.search(options["--filter"], name)
            and (f"/{options['--norm']}/" in name or "/-/" in name)]
    print(json.dumps({"context": {"device": "a fake"}, "benchmarks": rows}))


def peer():
    print(json.dumps({"context": {"peer": "Fake", "version": "1.0", "threads": 1}}), flush=True)
    for request in map(json.loads, sys.stdin):
        number = log("peer", request["what"], request["norm"], str(request["seconds"]))
        if os.environ.get("FAKE_FAULT") == "peer":
            sys.exit(5)
        pattern = WANTED[request["what"]].format(request["norm"])
        rows = [{"name": name, "mode": mode, "format": form, "batch": 64, "seconds": at(t, number)}
                for (name, mode), formats in PEER.items() if re.search(pattern, name)
                for form, t in formats.items()]
        print(json.dumps({"rows": rows}), flush=True)


if __name__ == "__main__":
    clnorm(sys.argv[2:]) if sys.argv[1] == "clnorm" else peer()
