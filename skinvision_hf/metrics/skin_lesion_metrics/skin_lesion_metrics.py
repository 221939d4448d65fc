"""The metric Space: `evaluate.load` of this folder gives the same class as the package."""

from skinvision_hf.metrics.modules import SkinLesionMetrics

__all__ = ["SkinLesionMetrics"]
