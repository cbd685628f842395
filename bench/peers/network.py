"""The networks of .net files in PyTorch, with the layers that the built-in ones and the tests use.

read(lines) gives the layers, module(torch, layer, norm) one of them, build(torch, layers, norm) the whole as a
module whose state dict has the names that clnorm gives the tensors of a model.safetensors. Layers are numbered
from 0, the lines of the network; images are N, C, H, W.
"""
from dataclasses import dataclass

NORMS = ("bn", "ln", "gn", "in", "none")
CLASSES = 10


@dataclass
class Layer:
    index: int  # line of the network, from 0
    word: str
    c_in: int
    c_out: int
    size: int  # height and width of its input
    k: int = 1
    bias: bool = False
    stride: int = 1
    pad: int = 0
    groups: int = 1
    other: int = -1  # add, scale: the layer whose output is the second input
    kept: bool = False  # a later layer reads its output


def parse(line, act):
    """(label or None, word, value of the first attribute (or add's label) or None, named attributes)"""
    words = [act if word == "$act" else word for word in line.split()]
    label = words.pop(0)[:-1] if words[0].endswith(":") else None
    first = next((word for word in words[1:] if "=" not in word), None)
    return label, words[0], first, dict(word.split("=") for word in words[1:] if "=" in word)


def read(lines, act="relu", channels=3, size=32):
    """The layers of a .net file, as far as PyTorch's twins need the language; act: what $act stands for, in benches ReLU."""
    layers, labels = [], {}
    for line in filter(str.strip, (line.split("#")[0] for line in lines)):
        label, word, first, options = parse(line, act)
        layer = Layer(len(layers), word, channels, channels, size)
        if word in ("conv", "dense"):
            layer.c_out = CLASSES if first == "$classes" else int(first)
            layer.bias = options.get("bias", "1" if word == "dense" else "0") == "1"
        if word == "dwconv":
            options.setdefault("k", first or "3")
            layer.bias, layer.groups = options.get("bias", "0") == "1", channels
        if word in ("conv", "dwconv"):
            layer.k, layer.stride = int(options.get("k", 3)), int(options.get("stride", 1))
            layer.pad = int(options.get("pad", layer.k // 2))
            size = (size + 2 * layer.pad - layer.k) // layer.stride + 1
        elif word == "maxpool":
            layer.k, layer.pad = int(first), int(options.get("pad", 0))
            layer.stride = int(options.get("stride", layer.k))
            size = (size + 2 * layer.pad - layer.k) // layer.stride + 1
        elif word in ("gap", "dense"):
            size = 1
        elif word == "scale":
            layer.other = labels[first]
            layers[layer.other].kept, size = True, layers[layer.other + 1].size
        elif word == "add":
            layer.other, layer.stride = labels[first], int(options.get("stride", 1))
            layers[layer.other].kept = True
        elif word not in ("$norm", "relu", "silu", "celu", "gelu", "sigmoid"):
            raise ValueError(f"line '{line.strip()}': network.py does not know the layer '{word}'")
        if label:
            labels[label] = layer.index
        layers.append(layer)
        channels = layer.c_out
    return layers


def module(torch, layer, norm, inplace=False):
    nn, c = torch.nn, layer.c_out
    if layer.word in ("conv", "dwconv"):
        return nn.Conv2d(layer.c_in, c, layer.k, layer.stride, layer.pad, groups=layer.groups, bias=layer.bias)
    if layer.word == "dense":
        return nn.Linear(layer.c_in * layer.size**2, c, bias=layer.bias)
    if layer.word == "$norm":
        # GroupNorm(c, c) computes what InstanceNorm2d does, and is the faster of the two
        return {"bn": lambda: nn.BatchNorm2d(c), "none": nn.Identity,
                "ln": lambda: nn.GroupNorm(1, c), "gn": lambda: nn.GroupNorm(4, c),
                "in": lambda: nn.GroupNorm(c, c)}[norm]()
    return {"relu": lambda: nn.ReLU(inplace=inplace), "silu": nn.SiLU, "celu": nn.CELU, "gelu": nn.GELU,
            "gap": lambda: nn.AdaptiveAvgPool2d(1),
            "maxpool": lambda: nn.MaxPool2d(layer.k, layer.stride, layer.pad),
            "sigmoid": nn.Sigmoid, "add": nn.Identity, "scale": nn.Identity}[layer.word]()


def add(torch, x, other, stride, inplace):
    """x and of the other image every stride-th row and column, with zeros for the channels that it has not."""
    if stride > 1:
        other = torch.nn.functional.pad(other[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, x.shape[1] - other.shape[1]))
    return x.add_(other) if inplace else x + other


def build(torch, layers, norm, inplace=False):
    """The whole network: (N, 3, H, W) to logits (N, classes). inplace: overwrites what nobody needs any more."""
    last = {layer.other: layer.index for layer in layers if layer.other >= 0}  # reader of a kept output

    class Network(torch.nn.Sequential):
        def forward(self, x):
            outputs = {}
            for layer, one in zip(layers, self):
                if layer.word == "dense":
                    x = one(x.flatten(1))[:, :, None, None]
                elif layer.word == "add":
                    over = inplace and layers[layer.index - 1].word == "$norm"  # ReLU's output is still needed
                    x = add(torch, x, outputs[layer.other], layer.stride, over)
                elif layer.word == "scale":
                    x = x * outputs[layer.other]
                else:
                    x = one(x)
                if layer.other >= 0 and last[layer.other] == layer.index:
                    del outputs[layer.other]
                if layer.kept:
                    outputs[layer.index] = x
            return x.flatten(1)

    return Network(*(module(torch, layer, norm, inplace) for layer in layers))
