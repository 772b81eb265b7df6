"""The samples of one request, folded into a tree of code lines.

The watcher adds samples while the request runs; the flusher makes a profile of them afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType

from ..records import Frame, Profile, ProfileNode, Row
from .frames import Frames, LineMap
from .stacks import Stack

#: Lines of one request; what comes on top is counted where it branches off.
MAX_NODES = 5_000
#: Frames of one stack, counted from the outermost.
MAX_DEPTH = 400
#: Samples that make a profile without a tree.
FEW = 12


class Node:
    """An instruction on the stack below the one above it, with the wall time it stands for."""

    __slots__ = ("children", "code", "hits", "instruction", "to_source", "weight_ns")

    def __init__(self, code: CodeType, instruction: int, to_source: LineMap | None) -> None:
        self.code = code
        self.instruction = instruction
        self.to_source = to_source
        self.weight_ns = 0
        self.hits = 0
        self.children: Children = {}


Children = dict[tuple[int, int], Node]


class Tree:
    """What the samples of one request add up to.

    A sample stands for the wall time since the one before it, of whichever request: counted from
    the request's own start, short requests would seem to end with what they begin with.
    """

    __slots__ = ("nodes", "roots", "samples", "weight_ns")

    def __init__(self) -> None:
        self.roots: Children = {}
        self.nodes = 0
        self.samples = 0
        self.weight_ns = 0

    def add(self, stack: Stack, weight_ns: int) -> None:
        """Count one sample; an empty stack means that the request was outside of all code."""
        self.samples += 1
        self.weight_ns += weight_ns
        children = self.roots
        for code, instruction, to_source in stack[:MAX_DEPTH]:
            # By identity: a code object's own hash goes through all of its constants. The node
            # keeps it alive, so the identity stays its own.
            key = (id(code), instruction)
            node = children.get(key)
            if node is None:
                if self.nodes >= MAX_NODES:
                    return
                self.nodes += 1
                node = children[key] = Node(code, instruction, to_source)
            node.weight_ns += weight_ns
            node.hits += 1
            children = node.children


def to_profile(tree: Tree | None, row: Row, period_ms: float, frames: Frames) -> Profile:
    """Return the profile of the request ``row``; no tree means that no sample met it.

    The tree is scaled to the request's duration. ``period_ms`` of the profile is the wall time
    that a sample stood for on average, or the one asked for without samples: hits times period is
    what the samples say by themselves, and adds up over requests without favouring long ones.
    """
    profile = Profile(*row.fields(), samples=0, period_ms=period_ms)
    if tree is not None and tree.weight_ns > 0:
        profile.samples = tree.samples
        profile.period_ms = tree.weight_ns / tree.samples / 1e6
        profile.roots = _to_nodes(tree.roots, row.duration_ms / tree.weight_ns, frames)
    return profile


def to_profile_of_few(
    samples: Sequence[tuple[Stack, int]], row: Row, frames: Frames
) -> Profile | None:
    """Return what :func:`to_profile` does of a tree with these samples, in two thirds of its time.

    Most requests are met a few times: what is the same is found sooner by looking through all.
    None where the samples stand for no time.
    """
    weight_ns = sum(weight_ns for _, weight_ns in samples)
    if weight_ns <= 0:
        return None
    number = len(samples)
    profile = Profile(*row.fields(), samples=number, period_ms=weight_ns / number / 1e6)
    ms_per_ns = row.duration_ms / weight_ns
    branched = []
    for stack, sample_ns in samples:
        siblings, total_ms = profile.roots, sample_ns * ms_per_ns
        for code, instruction, to_source in stack[:MAX_DEPTH]:
            frame = frames.frame(code, instruction, to_source)
            for node in siblings:
                if node.frame == frame:
                    node.total_ms += total_ms
                    node.hits += 1
                    break
            else:
                node = ProfileNode(frame, total_ms, 1)
                siblings.append(node)
                if len(siblings) == 2:
                    branched.append(siblings)
            siblings = node.children
    for siblings in branched:
        siblings.sort(key=_heaviest_first)
    return profile


def _heaviest_first(node: ProfileNode) -> float:
    return -node.total_ms


def _to_nodes(roots: Children, ms_per_ns: float, frames: Frames) -> list[ProfileNode]:
    """Return instructions as lines: those of the same line become one. Heaviest first."""
    top: list[ProfileNode] = []
    waiting = [(list(roots.values()), top)]
    while waiting:
        nodes, siblings = waiting.pop()
        lines: dict[Frame, tuple[ProfileNode, list[Node]]] = {}
        for node in nodes:
            frame = frames.frame(node.code, node.instruction, node.to_source)
            known = lines.get(frame)
            if known is None:
                known = lines[frame] = (ProfileNode(frame), [])
            known[0].total_ms += node.weight_ns * ms_per_ns
            known[0].hits += node.hits
            known[1].extend(node.children.values())
        for line, below in lines.values():
            siblings.append(line)
            if below:
                waiting.append((below, line.children))
        siblings.sort(key=_heaviest_first)
    return top
