"""Recipes: stages that make a candidate from the base or from another candidate, and sums of several."""

from toxaudit.training.arithmetic import merge
from toxaudit.training.arithmetic import sentence as sum_in_words
from toxaudit.training.chain import Made, Tune, make, tune
from toxaudit.training.recipe import Computed, ReadStage, Recipe, check_device, merges, read, root_of
from toxaudit.training.rows import check, examples, patterns
from toxaudit.training.trainer import doing

__all__ = [
    "Computed",
    "Made",
    "ReadStage",
    "Recipe",
    "Tune",
    "check",
    "check_device",
    "doing",
    "examples",
    "make",
    "merge",
    "merges",
    "patterns",
    "read",
    "root_of",
    "sum_in_words",
    "tune",
]
