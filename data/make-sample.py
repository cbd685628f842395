#!/usr/bin/env python3
"""make-sample.py FOLDER OUT: the bundled sample from the official CIFAR-10 binary version.

FOLDER holds data_batch_1.bin ... data_batch_5.bin, test_batch.bin and batches.meta.txt (Krizhevsky,
"Learning Multiple Layers of Features from Tiny Images", 2009). OUT (cifar-10-sample.tar.gz) has the
same layout with fewer records: the first 40 images of each class of each training batch (2,000 in
all) and the first 50 of each class of the test batch (500), in their official order.

No image loses a bit: the batches are called *.bin.med because their pixels are replaced by the
residuals of a predictor (data/residual.c has the definition and restores them). The output is the
same, byte for byte, on every run with the same zlib.
"""
import io
import os
import sys
import tarfile
import zlib

SIDE, RECORD, CLASSES = 32, 3073, 10
PLANE = SIDE * SIDE
TRAIN_PER_CLASS, TEST_PER_CLASS = 40, 50
DICTIONARY_AND_GZIP = 15 + 16


def first_of_each_class(path, per_class):
    with open(path, "rb") as f:
        data = f.read()
    if not data or len(data) % RECORD:
        sys.exit(f"{path}: {len(data)} bytes, not whole records of {RECORD}")
    count, chosen = [0] * CLASSES, []
    for at in range(0, len(data), RECORD):
        label = data[at]
        if count[label] < per_class:
            count[label] += 1
            chosen.append(data[at:at + RECORD])
    if count != [per_class] * CLASSES:
        sys.exit(f"{path}: too few images of some class: {count}")
    return chosen


def plane_residuals(values, base):
    diff = [v - b for v, b in zip(values, base)]
    out = bytearray()
    for i, v in enumerate(values):
        if i < SIDE:
            p = diff[i - 1] if i else 0
        elif i % SIDE == 0:
            p = diff[i - SIDE]
        else:
            a, b, c = diff[i - 1], diff[i - SIDE], diff[i - SIDE - 1]
            p = sorted((a, b, a + b - c))[1]
        out.append((v - min(max(p + base[i], 0), 255)) & 255)
    return bytes(out)


def record_residuals(record):
    r, g, b = (record[1 + k * PLANE:1 + (k + 1) * PLANE] for k in range(3))
    return (record[:1] + plane_residuals(r, g) + plane_residuals(g, bytes(PLANE)) +
            plane_residuals(b, g))


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FOLDER OUT")
    folder, out = sys.argv[1:]
    batches = {f"data_batch_{k}.bin": TRAIN_PER_CLASS for k in range(1, 6)}
    batches["test_batch.bin"] = TEST_PER_CLASS
    contents = {}
    for name, per_class in batches.items():
        records = first_of_each_class(os.path.join(folder, name), per_class)
        contents[name + ".med"] = b"".join(map(record_residuals, records))
    with open(os.path.join(folder, "batches.meta.txt"), "rb") as f:
        contents["batches.meta.txt"] = f.read()

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            entry.size, entry.mode = len(contents[name]), 0o644
            tar.addfile(entry, io.BytesIO(contents[name]))
    # Residuals hardly repeat, so matches other than runs only cost: Z_RLE is the smallest.
    deflate = zlib.compressobj(9, zlib.DEFLATED, DICTIONARY_AND_GZIP, 9, zlib.Z_RLE)
    with open(out, "wb") as f:
        f.write(deflate.compress(packed.getvalue()) + deflate.flush())


main()
