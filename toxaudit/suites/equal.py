"""Equal prompts are one prompt's evidence: a model answers them alike, also where answers are sampled.

Completions are named by what is asked and the sample's number, so that equal prompts share every answer.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from toxaudit.records import Prompt, digest


def merged(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts, of those that differ in nothing but id and template only the first."""
    firsts: dict[str, Prompt] = {}
    for prompt in prompts:
        slices = repr(sorted(prompt.slices.items()))
        marks = repr((prompt.target, prompt.references, prompt.roles, prompt.language))
        firsts.setdefault(digest(prompt.digest, slices, marks), prompt)
    return list(firsts.values())


def clustered(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts, with one cluster for those that ask the same and differ in slices or right answers.

    Each still counts in its own slice and against its own answer, but they are no independent evidence. Where they vary
    templates of different names, these become one.
    """
    alike: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        alike[prompt.digest].append(prompt)
    joined: dict[str, str] = {}
    clusters: dict[str, str] = {}
    for key, group in alike.items():
        if len(group) > 1:
            names = dict.fromkeys(_end(joined, each.cluster) for each in group if each.cluster)
            clusters[key] = next(iter(names), key)
            joined |= {name: clusters[key] for name in names if name != clusters[key]}
    return [replace(prompt, cluster=_end(joined, clusters.get(prompt.digest, prompt.cluster))) for prompt in prompts]


def _end(joined: dict[str, str], name: str) -> str:
    """The name that a cluster has after all joins."""
    while name in joined:
        name = joined[name]
    return name
