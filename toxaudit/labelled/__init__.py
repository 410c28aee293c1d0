"""Texts that people labelled -> how often a scorer agrees with the labels, as a table and a calibration file."""

from toxaudit.labelled.calibrate import calibrate
from toxaudit.labelled.examples import Labelling

__all__ = ["Labelling", "calibrate"]
