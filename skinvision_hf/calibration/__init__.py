"""Probabilities that mean what they say: a temperature for the network, and sets with a promised coverage."""

from skinvision_hf.calibration.conformal import COVERAGE, ConformalPredictor, prediction_sets

__all__ = ["COVERAGE", "ConformalPredictor", "prediction_sets"]
