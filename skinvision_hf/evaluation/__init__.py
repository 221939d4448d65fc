"""Logits to numbers: metrics with bootstrap confidence intervals, calibration, conformal sets, operating points, subgroups."""
