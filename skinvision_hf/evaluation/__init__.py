"""Logits to numbers: metrics with confidence intervals, calibration, conformal sets, operating points, subgroups."""
