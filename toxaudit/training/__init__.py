"""Recipes: stages that make a candidate from the base, or from another candidate."""

from toxaudit.training.chain import Made, make
from toxaudit.training.recipe import ReadStage, Recipe, read, root_of
from toxaudit.training.rows import check, examples, patterns

__all__ = ["Made", "ReadStage", "Recipe", "check", "examples", "make", "patterns", "read", "root_of"]
