"""What is timed in PyTorch: a network as a whole and layer by layer.

A Case is one measurement: a callable that does one repetition. Its name is that of clnorm's row for
the same work (`step/s8/bn/128`, `alone/3.conv/-/backward-data`), so that the two can be joined; `mode`
says how PyTorch does it and `format` in which memory format.
"""
import contextlib
import functools
import os
from dataclasses import dataclass
from typing import Callable

import network
from network import CLASSES, NORMS

FORMATS = ("channels_last", "contiguous")
MODES = ("eager", "compile", "bf16")
MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")


@dataclass
class Case:
    name: str
    mode: str
    format: str
    run: Callable[[], object]


def models():
    return sorted(name[:-4] for name in os.listdir(MODELS) if name.endswith(".net"))


def read_net(model):
    with open(os.path.join(MODELS, model + ".net"), encoding="utf-8") as file:
        return network.read(file)


def stages_of(layers):
    """Convolutions with what follows them up to the next; the global pooling is a stage of its own. Without those that
    have an addition: half of its work lies elsewhere."""
    stages = []
    for layer in layers:
        if layer.word in ("conv", "gap"):
            stages.append([])
        stages[-1].append(layer)
    return [stage for stage in stages if all(layer.word != "add" for layer in stage)]


def has_norm(stage):
    return any(layer.word == "$norm" for layer in stage)


def stage_name(stage, norm):
    words = [layer.word.lstrip("$") for layer in stage if layer.word != "$norm" or norm != "none"]
    return f"{stage[0].index}.{'+'.join(words)}/{norm if has_norm(stage) else '-'}"


class Builder:
    """Makes cases for one batch size. Layers are single-precision and eager."""

    def __init__(self, torch, model, batch):
        self.torch, self.model, self.batch = torch, model, batch
        self.layers = read_net(model)
        self.memory = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}

    def random(self, form, channels, size):
        shape = (self.batch, channels, size, size)
        return self.torch.randn(shape).to(memory_format=self.memory[form])

    def module(self, layer, norm):
        return network.module(self.torch, layer, norm, inplace=True)

    def sequence(self, layers, norm, form):
        modules = [self.module(layer, norm) for layer in layers
                   if layer.word != "$norm" or norm != "none"]
        return self.torch.nn.Sequential(*modules).to(memory_format=self.memory[form])

    # ---- the whole network

    def network(self, what, norm, form, mode):
        """A training step ("step") or inference ("infer"). Modes: those above, and for the inference
        of batch norm "folded", each norm folded into its convolution."""
        torch = self.torch
        torch.manual_seed(1)
        model = network.build(torch, self.layers, norm, inplace=True).to(memory_format=self.memory[form])
        if mode == "folded":
            model = fold_batch_norm(torch, model)
        x = self.random(form, 3, 32)
        train = what == "step"
        model.train(train)
        # Without fullgraph PyTorch may fall back on eager silently; a network a case is no recompilation.
        torch._dynamo.config.recompile_limit = 1000
        call = torch.compile(model, fullgraph=True) if mode == "compile" else model
        precision = contextlib.nullcontext
        if mode == "bf16":
            precision = functools.partial(torch.autocast, x.device.type, dtype=torch.bfloat16)
        run = self.stepper(model, call, x, precision) if train else self.reader(call, x, precision)
        return Case(f"{what}/{self.model}/{norm}/{self.batch}", mode, form, run)

    def stepper(self, model, call, x, precision):
        torch = self.torch
        y = torch.randint(0, CLASSES, (self.batch,))
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True,
                                    fused=True)

        def step():
            optimizer.zero_grad()
            with precision():
                loss = torch.nn.functional.cross_entropy(call(x), y)
            loss.backward()
            optimizer.step()
        return step

    def reader(self, call, x, precision):
        def read():
            with self.torch.inference_mode(), precision():
                call(x)
        return read

    # ---- single layers: generators, since all of their tensors would not fit in memory at once. Measure
    # a case before taking the next one, which replaces its tensors.

    def convolutions(self, form):
        """Forward, backward-data and backward-params of every convolution: oneDNN through PyTorch.
        The first one needs no backward-data."""
        aten = self.torch.ops.aten
        for layer in self.layers:
            if layer.word != "conv":
                continue
            conv = self.module(layer, "-").to(memory_format=self.memory[form])
            w, bias = conv.weight.detach(), conv.bias.detach() if layer.bias else None
            x = self.random(form, layer.c_in, layer.size)
            dy = self.random(form, layer.c_out, (layer.size + 2 * layer.pad - layer.k) // layer.stride + 1)
            how = ([layer.stride] * 2, [layer.pad] * 2, [1, 1], False, [0, 0], 1)

            def backward(mask):
                sizes = [layer.c_out] if layer.bias else None
                return lambda: aten.convolution_backward(dy, x, w, sizes, *how, mask)
            name = f"alone/{layer.index}.conv/-/"
            yield Case(name + "forward", "eager", form, lambda: aten.convolution(x, w, bias, *how))
            if layer.index > 0:
                yield Case(name + "backward-data", "eager", form, backward([True, False, False]))
            yield Case(name + "backward-params", "eager", form, backward([False, True, layer.bias]))

    def norms(self, norm, form):
        """Forward (as in training) and backward of every norm."""
        for layer in self.layers:
            if layer.word == "$norm" and norm != "none":
                yield from self.both_ways(f"alone/{layer.index}.norm/{norm}", [layer], norm, form)

    def stages(self, norm, form):
        """Forward (as in training) and backward of every stage: the gradients of its parameters and,
        but for the first stage, of its input."""
        for stage in stages_of(self.layers):
            yield from self.both_ways("stage/" + stage_name(stage, norm), stage, norm, form)

    def both_ways(self, name, layers, norm, form):
        first = layers[0]
        model = self.sequence(layers, norm, form).train()
        x = self.random(form, first.c_in, first.size).requires_grad_(first.index > 0)
        yield Case(name + "/forward", "eager", form, lambda: model(x))
        y = model(x)
        inputs = ([x] if x.requires_grad else []) + list(model.parameters())
        dy = self.torch.randn(y.shape).to(memory_format=self.memory[form])
        yield Case(name + "/backward", "eager", form,
                   lambda: self.torch.autograd.grad(y, inputs, dy, retain_graph=True))


def fold_batch_norm(torch, model):
    """The inference form of a BN network: each norm folded into the convolution before it."""
    model.eval()
    for i, layer in enumerate(model):
        if isinstance(layer, torch.nn.BatchNorm2d):
            model[i - 1] = torch.nn.utils.fusion.fuse_conv_bn_eval(model[i - 1], layer)
            model[i] = torch.nn.Identity()
    return model
