"""Recipes: stages that make a candidate from the base, or from another candidate."""

from toxaudit.training.chain import Made, make
from toxaudit.training.recipe import Recipe, ReadStage, read, root_of
from toxaudit.training.rows import check, examples

__all__ = ["Made", "ReadStage", "Recipe", "check", "examples", "make", "read", "root_of"]
