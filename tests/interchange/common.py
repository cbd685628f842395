"""What the tests against PyTorch share: a small data set on the disk, the program, and PyTorch's side of a run."""
import os
import subprocess
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(ROOT, "bench", "peers"))
import network  # noqa: E402 (the folder is not a package)

torch.set_num_threads(2)
TRAIN, TEST = 5 * 32, 150  # images; of the test set the last batch is a partial one


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Data:
    """Images of noise over a colour that tells the class, in CIFAR-10's binary files under `folder`."""

    def __init__(self, folder):
        numbers = np.random.default_rng(5)
        colours = numbers.uniform(60, 200, (10, 3, 1, 1))
        self.folder, parts = folder, []
        os.makedirs(folder, exist_ok=True)
        for name, count in [(f"data_batch_{i}", TRAIN // 5) for i in range(1, 6)] + [("test_batch", TEST)]:
            labels = numbers.integers(0, 10, count)
            images = colours[labels] + numbers.normal(0, 40, (count, 3, 32, 32))
            images = images.clip(0, 255).astype(np.uint8)
            records = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(count, -1)], 1)
            records.tofile(os.path.join(folder, name + ".bin"))
            parts.append((images, labels))
        self.train_bytes = np.concatenate([images for images, _ in parts[:5]])
        scaled = self.train_bytes.astype(np.float64) / 255
        self.mean, self.std = scaled.mean((0, 2, 3)), scaled.std((0, 2, 3))
        self.train_y = torch.from_numpy(np.concatenate([labels for _, labels in parts[:5]]))
        self.test_y = torch.from_numpy(parts[5][1])
        self.train_x, self.test_x = self.normal(self.train_bytes), self.normal(parts[5][0])

    def normal(self, images):
        shape = (1, 3, 1, 1)
        values = (images / 255.0 - self.mean.reshape(shape)) / self.std.reshape(shape)
        return torch.from_numpy(values.astype(np.float32))


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments):
        return subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=False)

    def works(self, *arguments):
        done = self.run(*arguments)
        check(done.returncode == 0, f"clnorm {' '.join(map(str, arguments))}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def fails(self, status, text, *arguments):
        done = self.run(*arguments)
        line = done.stderr.splitlines()[-1] if done.stderr else ""
        check(done.returncode == status and text in line,
              f"clnorm {' '.join(map(str, arguments))}: status {done.returncode}, {done.stderr!r}; "
              f"expected {status} and {text!r}")


def net_path(name):
    return name if name.endswith(".net") else os.path.join(ROOT, "models", name + ".net")


def build(path, norm, act="silu"):
    """As clnorm train and eval understand the file: $act is SiLU."""
    with open(path, encoding="utf-8") as file:
        return network.build(torch, network.read(file, act), norm)


def twin_of(path):
    """The PyTorch model that a model.safetensors of clnorm's describes and fills; strictly: no tensor is missing or left over
    but the counters of batch norm, which PyTorch itself adds."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
    check(about["format"] == "pt", "the metadata do not say format: pt")
    model = network.build(torch, network.read(about["clnorm.net"].splitlines()), about["clnorm.norm"])
    model.load_state_dict(load_file(path), strict=True)
    return model, about


def main(test):
    """Runs test(program, folder) in an empty folder: usage SCRIPT PROGRAM DIR."""
    program, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    try:
        test(Program(program), Data("data"))
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
