"""Stages that make a candidate from the base."""

from toxaudit.training.lora import identity, sentence, steps, tune

__all__ = ["identity", "sentence", "steps", "tune"]
