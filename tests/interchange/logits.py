"""Weights between clnorm and PyTorch, both ways: the same logits on the same images.

usage: logits.py PROGRAM DIR
"""
import os

import numpy as np
import torch
from common import TEST, build, check, main, net_path, twin_of
from safetensors.torch import save_file

ALLOWED = 1e-4  # of the largest logit, or of 1
SMALL = ("conv 8 k=5 stride=2\n$norm\nrelu\nmaxpool 3 stride=2 pad=1\n"
         "dwconv bias=1\n$norm\ns: relu\ngap\ndense 4\nrelu\ndense 8\nsigmoid\nscale s\nconv 12 bias=1\n$norm\nrelu\ndense $classes\n")
NORMS = ("bn", "ln", "gn", "in", "none")


def compare(what, path, model, data):
    got = np.load(path)
    with torch.inference_mode():
        want = model.eval()(data.test_x).numpy()
    check(got.dtype == np.float32 and got.shape == (TEST, 10), f"{what}: {got.dtype} {got.shape}")
    apart, largest = np.abs(got - want).max(), np.abs(want).max()
    print(f"{what}: logits up to {largest:.2f}, at most {apart:.1e} apart", flush=True)
    apart /= max(largest, 1)
    check(apart <= ALLOWED, f"{what}: logits are {apart:.2e} of the largest apart")
    return apart


def from_clnorm(program, data, model, norm):
    """A trained model.safetensors, read by the safetensors library, in the model that its .net text describes."""
    run = f"run-{os.path.basename(model)}-{norm}"
    program.works("train", "--quiet", "--model", model, "--norm", norm, "--data", data.folder, "--epochs", 2, "--batch", 16,
                  "--out", run, "--overwrite")
    program.works("eval", run, "--data", data.folder, "--logits", run + ".npy")
    twin, about = twin_of(os.path.join(run, "model.safetensors"))
    scale = np.array(about["clnorm.mean_std"].split(), float).reshape(3, 2)
    check(np.abs(scale - np.stack([data.mean, data.std], 1)).max() < 1e-6, f"{run}: mean and deviation {scale}")
    return compare(f"{os.path.basename(model)} {norm}, clnorm's weights in PyTorch", run + ".npy", twin, data)


def from_pytorch(program, data, model, norm):
    """A plain state dict, its running statistics and affine parameters too away from where they begin."""
    torch.manual_seed(3)
    act = {"s8r": "gelu"}.get(model, "silu")
    twin = build(net_path(model), norm, act)
    state = twin.state_dict()
    for name, values in state.items():
        if values.dtype == torch.float32 and values.ndim == 1:
            values += torch.rand(values.shape) * 0.5
    path = f"pytorch-{os.path.basename(model)}-{norm}.safetensors"
    save_file(state, path)
    program.works("eval", path, "--model", model, "--norm", norm, *(("--act", act) if act != "silu" else ()),
                  "--data", data.folder, "--logits", path + ".npy")
    return compare(f"{os.path.basename(model)} {norm}, PyTorch's weights in clnorm", path + ".npy", twin, data), path


def refusals(program, data, path):
    told = ("--model", "s8", "--data", data.folder)
    program.fails(12, "it has no '1.running_mean'", "eval", path, *told, "--norm", "bn")
    program.fails(12, "s8 with none has no '1.bias'", "eval", path, *told, "--norm", "none")
    program.fails(12, "give --model and --norm", "eval", path, "--data", data.folder)
    half = {name: values.half() for name, values in build(net_path("s8"), "ln").state_dict().items()}
    save_file(half, "half.safetensors")
    program.fails(12, "its type is none of F32", "eval", "half.safetensors", *told, "--norm", "ln")


def test(program, data):
    with open("small.net", "w", encoding="utf-8") as file:
        file.write(SMALL)
    worst, ln_path = 0, None
    for model, norms in (("s8n", ("bn", "ln")), ("s8", NORMS), ("s8r", NORMS), ("./small.net", NORMS), ("resnet20", ("bn", "gn"))):
        for norm in norms:
            there = from_clnorm(program, data, model, norm)
            back, path = from_pytorch(program, data, model, norm)
            ln_path = path if (model, norm) == ("s8", "ln") else ln_path
            worst = max(worst, there, back)
    refusals(program, data, ln_path)
    print(f"worst of all: {worst:.1e} of {ALLOWED:g} allowed")


if __name__ == "__main__":
    main(test)
