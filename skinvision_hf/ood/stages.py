"""The stages of a network, from which guards read features; nothing but torch, so that predictions start quickly."""

from typing import Any

from torch import Tensor

__all__ = ["forward_with_features", "stage_channels"]


def forward_with_features(network: Any, pixels: Tensor, stage: int | None) -> tuple[Tensor, Tensor]:
    """Run a timm network up to its last feature maps and pool the features of one stage on the way.

    Args:
        network: In evaluation mode.
        pixels: Normalised (n, 3, height, width).
        stage: Position of the stage among those of `feature_info`; None for the features that the classifier reads.

    Returns:
        The last feature maps and the pooled features (n, d).
    """
    if stage is None:
        maps = network.forward_features(pixels)
        return maps, network.forward_head(maps, pre_logits=True)
    maps, stages = network.forward_intermediates(pixels)
    return maps, stages[stage].mean(dim=(2, 3))


def stage_channels(network: Any) -> tuple[int, ...]:
    """Length of the pooled features of each stage of a timm network; none if it cannot show its stages."""
    if not hasattr(network, "forward_intermediates"):
        return ()
    return tuple(entry["num_chs"] for entry in network.feature_info)
