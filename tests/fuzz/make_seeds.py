#!/usr/bin/env python3
"""The first inputs of the fuzz targets, the same bytes on every run.

What an input is, targets.c says. Names begin with ok- where the reader has to accept the file, with bad- where
it has to refuse it; `replay` checks that. Inputs that a fuzzer found are added by hand beside these.
"""
import argparse
import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile

RECORD = 3073
MEND, PACK = 1, 2


def container(*files):
    lengths = b"".join(struct.pack("<H", 0xFFFF if f is None else len(f)) for f in files)
    return lengths + b"".join(f or b"" for f in files)


def record(label, fill):
    return bytes([label]) + bytes((fill + i // 64) % 251 for i in range(RECORD - 1))


META = b"\n".join(b"airplane automobile bird cat deer dog frog horse ship truck".split()) + b"\n"
BATCHES = [record(i, i) for i in range(6)]
NAMES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin", "batches.meta.txt"]
FILES = dict(zip(NAMES, BATCHES + [META]))


def cifar():
    files = BATCHES[:5] + [META, BATCHES[5]]
    yield "ok-plain", container(*files)
    yield "bad-cut", container(files[0], files[1][:-1], None, None, None, META, None)
    yield "bad-missing", container(files[0], None, None, None, None, META, None)
    yield "bad-meta-control", container(files[0], None, None, None, None, b"a\x1b[2J\nb\n", None)


def tar(entries, form=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, data, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue().rstrip(b"\0") + bytes(1024 + 512)


def whole(prefix="cifar-10-batches-bin/"):
    return [(prefix + name, data, tarfile.REGTYPE, "") for name, data in FILES.items()]


def header(name, size, kind=b"0"):
    h = bytearray(512)
    h[:len(name)] = name
    h[100:108] = b"0000644\0"
    h[124:136] = b"%011o\0" % size if size < 8 ** 11 else b"\x80" + size.to_bytes(11, "big")
    h[156:157] = kind
    h[257:265] = b"ustar\x0000"
    h[148:156] = b" " * 8
    h[148:155] = b"%06o\0" % sum(h)
    return bytes(h)


def tars():
    plain = tar(whole())
    yield "ok-plain", b"\0" + plain
    yield "ok-gzip", b"\0" + gzip.compress(plain, 9, mtime=0)
    yield "ok-xz", b"\0" + lzma.compress(plain)
    yield "ok-bzip2", b"\0" + bz2.compress(plain)
    yield "ok-pax", b"\0" + gzip.compress(tar(whole("d\u00e9/" * 40), tarfile.PAX_FORMAT), 9, mtime=0)
    yield "ok-gnu", b"\0" + gzip.compress(tar(whole("x" * 120 + "/"), tarfile.GNU_FORMAT), 9, mtime=0)
    yield "ok-climbing", b"\0" + gzip.compress(tar(whole("../../")), 9, mtime=0)
    yield "ok-absolute", b"\0" + gzip.compress(tar(whole("/etc/")), 9, mtime=0)
    yield "ok-link", b"\0" + gzip.compress(
        tar([("test_batch.bin", b"", tarfile.SYMTYPE, "/etc/passwd")] + whole()), 9, mtime=0)
    yield "bad-hard-link", b"\0" + gzip.compress(
        tar([("test_batch.bin", b"", tarfile.LNKTYPE, "/etc/passwd")]), 9, mtime=0)
    yield "bad-twice", b"\0" + gzip.compress(tar(whole() + whole()), 9, mtime=0)
    yield "bad-huge", b"\0" + header(b"data_batch_1.bin", 700000 * RECORD) + bytes(2048)
    yield "bad-larger-than-all", b"\0" + header(b"data_batch_1.bin", 1 << 62) + bytes(2048)
    yield "bad-negative", b"\0" + header(b"data_batch_1.bin", (1 << 88) - RECORD)[:512] + bytes(2048)
    yield "bad-zeros", b"\0" + gzip.compress(header(b"data_batch_1.bin", 5000 * RECORD) + bytes(5000 * RECORD), 9,
                                             mtime=0)
    yield "bad-trailer", b"\0" + gzip.compress(plain, 9, mtime=0)[:-4] + b"abcd"
    yield "bad-cut", b"\1" + plain[:4000]
    yield "bad-empty", b"\2"
    yield "bad-incomplete", b"\3" + tar(whole()[5:])
    yield "bad-sparse-1.0", b"\1" + sparse()


def sparse():
    """700,000 records that are all hole."""
    size = 700000 * RECORD
    pax = b""
    for key, value in (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "data_batch_1.bin"),
                       ("GNU.sparse.realsize", str(size))):
        text, n = f" {key}={value}\n", 0
        while n != len(str(n)) + len(text):
            n = len(str(n)) + len(text)
        pax += f"{n}{text}".encode()
    blocks = header(b"PaxHeaders/x", len(pax), b"x") + pax.ljust(512, b"\0")
    body = f"1\n{size}\n0\n".encode().ljust(512, b"\0")
    return blocks + header(b"GNUSparseFile/x", len(body)) + body + bytes(1024)


def idx():
    images = struct.pack(">IIII", 0x803, 3, 4, 5) + bytes(range(60))
    labels = struct.pack(">II", 0x801, 3) + bytes([0, 1, 2])
    good = (images, labels, images, labels)
    yield "ok-plain", b"\0" + container(*good)
    yield "ok-gzip", b"\x0f" + container(*(gzip.compress(f, 9, mtime=0) for f in good))
    yield "ok-packed", b"\xff" + container(*good)
    yield "bad-cut", b"\xff" + container(*good)[:-1]
    yield "bad-missing", b"\0" + container(images, labels, None, labels)
    huge = struct.pack(">IIII", 0x803, 4096, 512, 512)
    yield "bad-huge", b"\0" + container(huge, None, None, None)
    yield "bad-huge-gzip", b"\x11" + container(huge + bytes(40), None, None, None)
    yield "bad-trailer", b"\x01" + container(gzip.compress(images, 9, mtime=0)[:-6] + b"abcdef", *good[1:])
    yield "bad-two-streams", b"\x01" + container(gzip.compress(images[:20], 9, mtime=0) +
                                                gzip.compress(images[20:], 9, mtime=0), *good[1:])


def nets():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")
    for i, name in enumerate(("s8", "s8r")):
        with open(os.path.join(here, name + ".net"), "rb") as f:
            yield "ok-" + name, bytes([i]) + f.read()
    yield "ok-attributes", b"\x0cconv 16 k=3 stride=2\n$norm\nrelu\na: conv 16 k=1 bias=1\nadd a\nmaxpool 2\ngap\ndense $classes\n"
    yield "ok-variants", b"\x0aconv 16 k=3 # first\n$norm\n$act\nd: conv 16 ws=1\r\n$norm\nsilu\ncelu\nadd d\ngelu\ngap\ndense $classes\n"
    yield "bad-word", b"\0cnov 16\n"
    yield "bad-number", b"\0conv 16 k=1e400\ngap\ndense $classes\n"
    yield "bad-large", b"\0conv 1000000000 k=3\n"
    yield "bad-escape", b"\0conv \x1b[2J\n"
    yield "long-chain", b"\0" + b"relu\n" * 509 + b"gap\ndense 10\n"


def st(entries, data, meta=None):
    root = dict(entries)
    if meta is not None:
        root["__metadata__"] = meta
    text = json.dumps(root).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    entries = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
               "b": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
               "c": {"dtype": "U8", "shape": [0, 3], "data_offsets": [24, 24]}}
    model = {"clnorm.model": "tiny", "clnorm.net": "conv 4\n$norm\nrelu\ngap\ndense $classes\n", "clnorm.norm": "gn",
             "clnorm.groups": "2", "clnorm.classes": "10", "clnorm.input_hwc": "8x8x3",
             "clnorm.mean_std": "0.5 0.25 0.5 0.25 0.5 0.25"}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "tiny.safetensors"), "rb") as f:
        yield "ok-fixture", f.read()
    yield "ok-plain", st(entries, bytes(range(24)))
    yield "ok-model", st(entries, bytes(range(24)), model)
    yield "model-not-finite", st(entries, bytes(24), {**model, "clnorm.mean_std": "nan inf 0 inf 0 1"})
    yield "model-overflow", st(entries, bytes(24), {**model, "clnorm.groups": "99999999999999999999",
                                                       "clnorm.input_hwc": "99999999999x1x1"})
    yield "bad-header", struct.pack("<Q", 1 << 63) + b"{}"
    yield "bad-deep", struct.pack("<Q", 4000) + b"{\"a\":" + b"[" * 3995
    yield "bad-escape", st({"a\x1b[2J": 1}, b"")
    yield "bad-token", struct.pack("<Q", 20) + b"{\"a\": \x1b[2J, \"b\": 1}}"
    yield "bad-overlap", st({"a": entries["a"], "b": {**entries["b"], "data_offsets": [8, 16]}}, bytes(16))
    yield "bad-product", st({"a": {"dtype": "F32", "shape": [1 << 30, 1 << 30, 16], "data_offsets": [0, 0]}}, b"")


def tune():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cl", "tune.table"), "rb") as f:
        yield "ok-table", f.read()
    yield "ok-forms", b"* * 0x1p3 gemm\r\n\tsimt bwd_params 1e8\tsimt\n\n#\nvector fwd inf vector\n"
    yield "ok-shapes", (b"# clnorm tune 1 0\nvector fwd 16->32,3x3/1,32x32 winograd\nsimt bwd_params 100000->10,1x1/2,1x1 gemm\n"
                        b"vector micro =5631360 32\n* micro 0 batch\n* micro 1e99 65535\n# end\n")
    yield "bad-shape", b"vector fwd 16->32,3x5/1,32x32 simt\n"
    yield "bad-far", b"vector fwd 99999999999999999999->32,3x3/1,32x32 simt\n"
    yield "bad-micro", b"vector micro 0 65537\n"
    yield "bad-nan", b"simt * nan simt\n"
    yield "bad-words", b"simt * 1 gemm more\n"
    yield "bad-long", b"simt * " + b"1" * 200 + b" gemm\n"


CONFIG = {"model": "s8", "norm": "bn", "groups": 0, "epochs": 20, "batch": 128, "optimizer": "sgd", "schedule": "onecycle",
          "lr": 0.2, "warmup": 0.25, "momentum": 0.9, "beta2": 0.99, "nesterov": True, "weight-decay": 0.005,
          "act": "silu", "ws": True, "norm-lr": 2.5, "ema": 0.99, "cutout": 8, "mixup": 0.2, "init": "dirac", "whiten": False,
          "label-smoothing": 0.1, "flip": "alternating", "shift": 2, "seed": 1, "val": 0, "test-flip": False, "limit": 0, "class": "auto",
          "conv": "auto", "fuse": True}


def configs():
    yield "ok-plain", json.dumps({"data": "sample", "options": CONFIG}).encode()
    yield "ok-more", json.dumps({"data": "sample", "options": {**CONFIG, "more": 1}, "device": {"index": 0}}).encode()
    yield "ok-tuned", json.dumps({"data": "sample", "options": CONFIG, "tuning": "* fwd 1->1,1x1/1,1x1 simt\n"}).encode()
    yield "bad-tuned", json.dumps({"data": "sample", "options": CONFIG, "tuning": "* fwd 1->1,1x1/1,1x1 fast\n"}).encode()
    yield "bad-tuned-kind", json.dumps({"data": "sample", "options": CONFIG, "tuning": 5}).encode()
    yield "bad-long", json.dumps({"data": "sample", "options": {**CONFIG, "model": "x" * 5000}}).encode()
    yield "bad-range", json.dumps({"data": "sample", "options": {**CONFIG, "epochs": 1 << 40}}).encode()
    yield "bad-kind", json.dumps({"data": "sample", "options": {**CONFIG, "lr": "1"}}).encode()
    yield "bad-deep", b"[" * 5000
    yield "bad-many", b"{\"data\":\"x\",\"options\":[" + b"{}," * 1000 + b"0]}"


def metrics():
    line = ('{"epoch": %d, "lr": 0.1, "train_loss": 2.3, "train_acc": 10.5, "test_loss": null, "test_acc": %s, '
            '"images_per_second": 1000.5, "seconds": 1.25}\n')
    flip = line.replace("}", ', "test_acc_flip": 12.5}')
    yield "ok-flip", (flip % (1, "11") + line % (2, "12")).encode()
    yield "ok-plain", (line % (1, "11") + line % (2, "null") + line % (3, "9.5")).encode()
    yield "ok-cut", (line % (1, "11") + line % (2, "12")).encode()[:-20]
    yield "ok-empty", b""
    yield "bad-epoch", (line % (0, "11")).encode()
    yield "bad-huge-number", (line % (1, "1e999")).encode()
    yield "bad-deep", b"[" * 3000 + b"\n"
    yield "bad-many", b"[" + b"[]," * 2000 + b"0]\n"


def summaries():
    good = {"model": "s8", "norm": "bn", "params": 46074, "epochs": 1, "train_acc": 1.5, "test_acc": None,
            "best_test_acc": 2, "best_epoch": 1, "images_per_second": 10.5, "seconds": 1, "device": "x", "seed": 1,
            "weights_sha256": "0" * 64}
    yield "ok-plain", json.dumps(good).encode()
    yield "ok-flip", json.dumps({**good, "test_acc_flip": 80.5}).encode()
    yield "bad-flip", json.dumps({**good, "test_acc_flip": "80"}).encode()
    yield "bad-norm", json.dumps({**good, "norm": "gn"}).encode()
    yield "bad-range", json.dumps({**good, "test_acc": 101}).encode()
    yield "bad-control", json.dumps({**good, "model": "\x1b[2J"}).encode()


def outcomes():
    good = {"images": 3, "accuracy": 50, "loss": None, "shape": {"c": 1, "h": 2, "w": 2}, "classes": ["a", "b"],
            "confusion": [[1, 1], [1, 0]],
            "mistakes": [{"image": 1, "true": 0, "predicted": 1, "confidence": 0.5, "pixels": "AAECAw=="}]}
    yield "ok-plain", json.dumps(good).encode()
    yield "bad-count", json.dumps({**good, "images": 4}).encode()
    yield "bad-pixels", json.dumps({**good, "shape": {"c": 4, "h": 512, "w": 512}}).encode()
    yield "bad-row", json.dumps({**good, "confusion": [[1, 1], [1]]}).encode()
    yield "bad-class", json.dumps({**good, "mistakes": [{**good["mistakes"][0], "true": 2}]}).encode()


def jsons():
    for name, data in configs():
        yield name + "-config", (b"c" if b"[" in data else b"C") + data
    for name, data in metrics():
        yield name + "-metrics", b"m" + data
    for name, data in summaries():
        yield name + "-summary", b"s" + data
    for name, data in outcomes():
        yield name + "-outcome", b"o" + data


def report():
    peaks = {"flops": 1e11, "launch": 1e-6, "round_trip": 1e-5,
             "bandwidth": [{"bytes": 1000, "copy": 1e9, "read": 2e9}, {"bytes": 1e6, "copy": 1e8, "read": None}]}
    texts = {k: "x" for k in ("date", "program", "commit", "host_name", "device", "platform", "driver", "opencl",
                              "compiler", "command")}
    context = {**texts, "format": "clnorm bench 1", "compute_units": 2, "vector_width": 8, "load_avg": [0.5, None, 1],
               "peaks": peaks}
    row = {"name": "step/s8/bn", "time_unit": "us", "view": "step", "what": "s8", "norm": "bn", "direction": "",
           "shape": "", "note": "", "batch": 128, "flops": 1e9, "bytes": 1e6, "event": None, "profiled": 0, "first": None,
           "ceiling": 0, "bound": "flops", "ratio": None, "ratio_low": None, "ratio_high": None, "samples": [0.5, 0.5],
           "per_round": 1, "repetitions_per_sample": 1,
           "kernels": [{"name": "conv", "launches": 1, "seconds": 0.25}], "median": 0.5, "min": 0.5, "p10": 0.5,
           "p90": 0.5, "cv": 0, "real_time": 5e5}
    yield "ok-plain", json.dumps({"context": context, "benchmarks": [row]}).encode()
    yield "ok-empty", json.dumps({"context": context, "benchmarks": []}).encode()
    yield "bad-twice", json.dumps({"context": context, "benchmarks": [row, row]}).encode()
    yield "bad-median", json.dumps({"context": context, "benchmarks": [{**row, "median": 0.6}]}).encode()
    yield "bad-escape", json.dumps({"context": {**context, "device": "\x1b[2J"}, "benchmarks": [row]}).encode()
    yield "bad-deep", b"[" * 5000
    yield "bad-token", b"{\x1b[2J}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", nargs="?", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus"))
    folder = parser.parse_args().corpus
    for target, seeds in (("cifar", cifar), ("tar", tars), ("idx", idx), ("net", nets), ("safetensors", safetensors),
                          ("tune", tune), ("json", jsons), ("report", report)):
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        for name, data in seeds():
            with open(os.path.join(folder, target, name), "wb") as f:
                f.write(data)


main()
