"""The comparison's arithmetic and tables: rows of clnorm joined with those of a peer."""
import random
import re
import statistics
from dataclasses import dataclass, field

LABELS = {"eager": "eager", "compile": "torch.compile", "bf16": "bf16 autocast",
          "folded": "eager, BN folded"}
DRAWS = 2000


@dataclass
class Row:
    """One line of the table. Lists have an entry a round, in seconds."""
    name: str
    mode: str
    batch: int
    clnorm: list = field(default_factory=list)
    peer: dict = field(default_factory=dict)  # memory format -> list

    def ratios(self):
        """Of each round: the peer's time, in the format that was faster in that round, over clnorm's."""
        return [min(peer) / ours for ours, peer in zip(self.clnorm, zip(*self.peer.values()))]


def interval(ratios):
    """Median over the rounds and its 95 % bootstrap interval (Efron & Tibshirani 1993)."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    return statistics.median(ratios), medians[DRAWS // 40], medians[DRAWS - DRAWS // 40 - 1]


def key(name):
    """What two rows of the same work have in common. Programs may differ in how they word a stage:
    the norm's name stands beside it, and the only pooling in a stage is that of 2x2."""
    view, _, rest = name.partition("/")
    if view != "stage" or rest.count("/") != 2:
        return name
    what, norm, direction = rest.split("/")
    words = what.partition(".")[2].split("+")
    words = tuple("pool" if word.startswith(("maxpool", "pool")) else word for word in words
                  if word not in ("norm", "none", norm))
    return view, layer_index(name), words, norm, direction


def layer_index(name):
    """Of the first layer of a stage's row; None: no stage of the network ("stage/loss/...")."""
    found = re.match(r"stage/(\d+)\.", name)
    return int(found.group(1)) if found else None


def is_stage(name, direction):
    """Directions begin with "forward" or "backward": a lone convolution's backward may be two rows."""
    return layer_index(name) is not None and name.rpartition("/")[2].startswith(direction)


def total(rows, direction):
    """Seconds of all stages in a direction, and which layers they begin at."""
    found = [name for name in rows if is_stage(name, direction)]
    return sum(rows[name] for name in found), {layer_index(name) for name in found}


class Table:
    """Collects rounds. `missing` holds the peer's rows that clnorm had none for."""

    def __init__(self):
        self.rows, self.missing = {}, []

    def add(self, ours, theirs, norm):
        """One round of one unit. ours: {name: seconds}; theirs: the peer's rows."""
        formats, batch = {}, {}
        for row in theirs:
            formats.setdefault((row["name"], row["mode"]), {})[row["format"]] = row["seconds"]
            batch[row["name"]] = row["batch"]
        names = {key(name): name for name in ours}
        for (name, mode), seconds in formats.items():
            # clnorm counts a kernel that two stages share to one of them: in the backward pass
            # only the sum over all stages means the same on both sides. The stages without a norm,
            # the network's end, are measured with every norm, for its sum.
            if is_stage(name, "backward") or is_stage(name, "forward") and "/-/" in name:
                continue
            if key(name) in names:
                same = names[key(name)]
                self.put(same, mode, batch[name], ours[same], seconds)
            else:
                self.note(name)
        if any(layer_index(name) is not None for name, _ in formats):
            for direction in ("forward", "backward"):
                self.add_sum(ours, formats, norm, direction, max(batch.values()))

    def add_sum(self, ours, formats, norm, direction, batch):
        name = f"stage/sum/{norm}/{direction}"
        seconds, covered = total(ours, direction)
        by_format = {}
        for (row, _), times in formats.items():
            for form, time in times.items():
                by_format.setdefault(form, {})[row] = time
        sums = {form: total(rows, direction) for form, rows in by_format.items()}
        if all(begins == covered for _, begins in sums.values()):
            self.put(name, "eager", batch, seconds, {form: s for form, (s, _) in sums.items()})
        else:
            self.note(name)

    def put(self, name, mode, batch, ours, seconds):
        row = self.rows.setdefault((name, mode), Row(name, mode, batch))
        row.clnorm.append(ours)
        for form, time in seconds.items():
            row.peer.setdefault(form, []).append(time)

    def note(self, name):
        if name not in self.missing:
            self.missing.append(name)

    def json(self):
        lines = []
        for row in self.rows.values():
            ratio, low, high = interval(row.ratios())
            lines.append({"name": row.name, "mode": row.mode, "batch": row.batch,
                          "clnorm_seconds": row.clnorm, "peer_seconds": row.peer,
                          "ratios": row.ratios(), "ratio": ratio, "ratio_low": low,
                          "ratio_high": high})
        return lines

    def sections(self, peer):
        """(title, header, lines) of whole networks and of layers. A format that a row lacks is '-'."""
        forms = list(dict.fromkeys(form for row in self.rows.values() for form in row.peer))
        header = ["row", peer, "clnorm", *forms, "ratio", "95 % interval"]

        def line(row, figure):
            ratio, low, high = interval(row.ratios())
            figures = [figure(row, row.clnorm)]
            figures += [figure(row, row.peer[f]) if f in row.peer else "-" for f in forms]
            return [row.name, LABELS.get(row.mode, row.mode), *figures, f"{ratio:.2f}",
                    f"{low:.2f} .. {high:.2f}"]

        def rate(row, seconds):
            return f"{row.batch / statistics.median(seconds):.0f}"

        def milliseconds(_, seconds):
            return f"{1e3 * statistics.median(seconds):.3f}"
        found = []
        for title, figure, network in (("Whole network, images per second", rate, True),
                                       ("Single layers, milliseconds", milliseconds, False)):
            lines = [line(row, figure) for row in self.rows.values()
                     if row.name.startswith(("step/", "infer/")) == network]
            if lines:
                found.append((title, header, lines))
        return found


def text(sections):
    out = []
    for title, header, lines in sections:
        widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
        left = [i < 2 for i in range(len(header))]
        out += [title]
        for line in [header, *lines]:
            cells = [cell.ljust(w) if l else cell.rjust(w) for cell, w, l in zip(line, widths, left)]
            out.append("  ".join(cells).rstrip())
        out.append("")
    return "\n".join(out)


def markdown(sections):
    out = []
    for title, header, lines in sections:
        out += [f"### {title}", ""]
        rules = ["---" if i < 2 else "---:" for i in range(len(header))]
        out += ["| " + " | ".join(line) + " |" for line in [header, rules, *lines]]
        out.append("")
    return "\n".join(out)
