"""Batch norms of a network that no longer trains, as part of the convolutions before them."""

from typing import Any

from timm.layers import BatchNormAct2d
from timm.models import EfficientNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm"]


def fold_batch_norm(network: nn.Module) -> None:
    """Put the batch norms of an EfficientNet into the weights of the convolutions before them, in place.

    In evaluation mode it computes the same as before, faster. It cannot be trained any more, and its weights have other
    names.

    Args:
        network: A timm network in evaluation mode. Other families than EfficientNet stay as they are, since their
            modules may be used in another order than they are listed in.
    """
    if isinstance(network, EfficientNet):
        _fold(network)


def _fold(parent: nn.Module) -> None:
    name_before, before = "", parent
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.Identity):
            continue
        if isinstance(child, BatchNormAct2d) and isinstance(before, nn.Conv2d):
            setattr(parent, name_before, _fuse(before, child))
            setattr(parent, name, nn.Sequential(child.drop, child.act))
        else:
            _fold(child)
        name_before, before = name, child


def _fuse(convolution: nn.Conv2d, norm: Any) -> nn.Module:
    fused: nn.Module = fuse_conv_bn_eval(convolution, norm)
    return fused.requires_grad_(False)
