"""Training by clnorm beside training by PyTorch, live: the same initial weights, images and recipe, ten steps.

An epoch is one step on all images without augmentation, so that metrics.jsonl has a line a step: the training loss
(smoothed, of before the step) and the test loss (of after it, in evaluation mode: running statistics too).

Rounding grows from step to step, in anybody's float32, and by how much is chance: which ReLU it tips over. So the truth is
PyTorch in double precision, and the measure what PyTorch in float32 is away from it, in the losses and in the weights: in
this run, or in the median of all of them where that is more. clnorm may be away FACTOR times as far.

usage: training.py PROGRAM DIR
"""
import copy
import json
import os
import statistics

import torch
from common import TRAIN, check, main, twin_of

FACTOR = 4
STEPS = 10
RECIPES = {"bn": ("sgd", 0.01), "ln": ("adamw", 0.001), "gn": ("adamw", 0.001), "in": ("adamw", 0.001),
           "none": ("sgd", 0.01)}  # norm: optimizer and learning rate
ACT = {"s8r": ("--act", "relu")}  # s8 has the default, SiLU; resnet20's is written in its file
MOMENTUM, BETA2, DECAY, SMOOTHING = 0.9, 0.99, 0.1, 0.1


def run(program, data, model, norm, out, steps, rate):
    optimizer, _ = RECIPES[norm]
    program.works("train", "--quiet", "--model", model, "--norm", norm, "--data", data.folder, "--out", out, "--overwrite",
                  "--epochs", steps, "--batch", TRAIN, "--schedule", "constant", "--lr", rate, "--optimizer", optimizer,
                  "--momentum", MOMENTUM, "--beta2", BETA2, "--nesterov", 1, "--weight-decay", DECAY,
                  "--label-smoothing", SMOOTHING, "--flip", "none", "--shift", 0, "--seed", 3, *ACT.get(model, ()))
    return twin_of(os.path.join(out, "model.safetensors"))[0]


def initial(program, data, model, norm):
    """PyTorch's model with clnorm's initial weights: those after a step that is too small to change any."""
    twin = run(program, data, model, norm, "initial", 1, 1e-30)
    for layer in twin:
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
    return twin


class Optimizer:
    """PyTorch's own, with weight decay decoupled and for weights alone, of before the step."""

    def __init__(self, twin, norm):
        kind, self.rate = RECIPES[norm]
        parameters = list(twin.parameters())
        self.decaying = [p for p in parameters if p.ndim > 1]
        self.inner = (torch.optim.SGD(parameters, self.rate, MOMENTUM, nesterov=True) if kind == "sgd" else
                      torch.optim.AdamW(parameters, self.rate, (MOMENTUM, BETA2), weight_decay=0))

    def step(self):
        with torch.no_grad():
            for p in self.decaying:
                p *= 1 - self.rate * DECAY
        self.inner.step()
        self.inner.zero_grad()


def train(twin, norm, data):
    """Losses (training, test) of each step, in the precision of the twin."""
    optimizer, losses = Optimizer(twin, norm), []
    loss_of, precision = torch.nn.functional.cross_entropy, next(twin.parameters()).dtype
    train_x, test_x = data.train_x.to(precision), data.test_x.to(precision)
    for _ in range(STEPS):
        loss = loss_of(twin.train()(train_x), data.train_y, label_smoothing=SMOOTHING)
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            losses.append((loss.item(), loss_of(twin.eval()(test_x), data.test_y).item()))
    return losses


def distances(losses, model, true_losses, truth):
    """Relative distances from the truth: {what: the largest of the steps, or that of all weights and statistics}"""
    apart = {what: max(abs(got[k] / want[k] - 1) for got, want in zip(losses, true_losses))
             for k, what in enumerate(("training losses", "test losses"))}
    state = model.state_dict()
    names = [name for name, values in truth.state_dict().items() if values.is_floating_point()]
    got = torch.cat([state[name].double().flatten() for name in names])
    want = torch.cat([truth.state_dict()[name].flatten() for name in names])
    return {**apart, "weights": ((got - want).norm() / want.norm()).item()}


def follow(program, data, model, norm):
    """The distances of clnorm and of PyTorch."""
    single, out = initial(program, data, model, norm), f"{model}-{norm}"
    double = copy.deepcopy(single).double()
    trained = run(program, data, model, norm, out, STEPS, RECIPES[norm][1])
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    check(len(lines) == STEPS, f"{out}: {len(lines)} epochs")
    losses = [(line["train_loss"], line["test_loss"]) for line in lines]
    check(losses[-1][0] < losses[0][0], f"{out}: the loss does not fall")
    truth, theirs = train(double, norm, data), train(single, norm, data)
    ours = distances(losses, trained, truth, double)
    theirs = distances(theirs, single, truth, double)
    print(f"{out} ({RECIPES[norm][0]}): training loss {losses[0][0]:.3f} to {losses[-1][0]:.3f}; away from double precision, "
          "clnorm and PyTorch: " + ", ".join(f"{what} {ours[what]:.1e} and {theirs[what]:.1e}" for what in ours), flush=True)
    return ours, theirs


def test(program, data):
    pairs = [(model, norm) for model in ("s8", "s8r") for norm in RECIPES] + [("resnet20", "bn")]
    runs = {pair: follow(program, data, *pair) for pair in pairs}
    worst = 0
    for what in "training losses", "test losses", "weights":
        usual = statistics.median(theirs[what] for _, theirs in runs.values())
        print(f"{what}: PyTorch's median {usual:.1e}")
        for (model, norm), (ours, theirs) in runs.items():
            factor = ours[what] / max(theirs[what], usual)
            worst = max(worst, factor)
            check(factor <= FACTOR, f"{model}-{norm}: {what}: {factor:.1f} times as far from double precision as PyTorch's float32")
    print(f"at most {worst:.2f} times as far as PyTorch in float32; {FACTOR} times are allowed")


if __name__ == "__main__":
    main(test)
