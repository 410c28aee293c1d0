"""Counterfactual sentences of a generator model, from a spec to files: what ``toxaudit counterfactuals`` does."""

from toxaudit.counterfactuals.writing import written as written
