"""Where a network looks: heat maps, and scores that tell good heat maps from bad ones."""

from skinvision_hf.explain.cam import heat_maps
from skinvision_hf.explain.explanation import Explanation, check_choice, explain_maps

__all__ = ["Explanation", "check_choice", "explain_maps", "heat_maps"]
