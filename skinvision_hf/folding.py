"""Batch norms of a network that no longer trains, as part of the convolutions before them."""

from typing import Any

from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm"]


def fold_batch_norm(network: nn.Module) -> None:
    """Put each batch norm that follows a convolution into its weights, in place; the outputs stay as they are.

    A network in evaluation mode computes the same without the norms, and faster. It cannot be trained any more, and its
    weights have other names.

    Args:
        network: A timm network in evaluation mode, whose convolutions and norms are children in the order of their use,
            as in timm's EfficientNets; norms without a convolution before them stay.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(network.named_children()):
        if isinstance(child, BatchNormAct2d) and before is not None and isinstance(before[1], nn.Conv2d):
            setattr(network, before[0], _fuse(before[1], child))
            setattr(network, name, nn.Sequential(child.drop, child.act))
        elif isinstance(child, nn.Identity):
            continue
        else:
            fold_batch_norm(child)
        before = (name, child)


def _fuse(convolution: nn.Conv2d, norm: Any) -> nn.Module:
    fused: nn.Module = fuse_conv_bn_eval(convolution, norm)
    return fused.requires_grad_(False)
