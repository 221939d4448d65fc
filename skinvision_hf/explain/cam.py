"""Class activation maps, computed so that the network is only ever read."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinvision_hf.errors import ModelError
from skinvision_hf.explain.placement import stretch


def heat_maps(network: torch.nn.Module, maps: Tensor, targets: Sequence[int], method: str) -> np.ndarray:
    """Weight the last feature maps of a network by what they mean for a diagnosis.

    Grad-CAM (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74), Grad-CAM++ (Chattopadhay et al. 2018,
    doi:10.1109/WACV.2018.00097), LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943), HiResCAM (Draelos and
    Carin 2020, arXiv:2011.08891), and EigenCAM (Muhammad and Yeasin 2020, doi:10.1109/IJCNN48605.2020.9206626), which
    does not look at the diagnosis. Behind a pooled linear classifier, Grad-CAM and HiResCAM are both the classifier's
    weights times the feature maps (Zhou et al. 2016, doi:10.1109/CVPR.2016.319), which needs no gradient.

    Args:
        network: A timm network; it is read, never changed.
        maps: What its `forward_features` returns for n images, (n, channels, h, w), under any grad mode and autocast.
        targets: Index of the class to explain, one an image.
        method: One of `skinvision_hf.config.CAM_METHODS`.

    Returns:
        Heat maps (n, h, w) float32, each stretched to [0, 1]; see `stretch`.

    Raises:
        ModelError: If the network ends in no feature maps, as transformers do.
    """
    if maps.ndim != 4 or maps.shape[1] != network.num_features:
        raise ModelError(
            f"{type(network).__name__} has no feature maps (n, channels, h, w) before its classifier; "
            "explain a convolutional network, such as efficientnet_b0"
        )
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
        maps = maps.detach().clone().float()
        if method == "eigencam":
            return _eigencam(maps.cpu().numpy())
        if method in ("gradcam", "hirescam") and (weights := _class_weights(network, maps)) is not None:
            return stretch(np.einsum("nchw,nc->nhw", maps.cpu().numpy(), weights[list(targets)].cpu().numpy()))
        # A copy, so that threads that explain, predict or train on one network meet in no hook and no gradient.
        head = _Head(copy.deepcopy(network).eval().requires_grad_(False))
        return _library_maps(head, maps, targets, method)


@torch.no_grad()
def _class_weights(network: Any, maps: Tensor) -> Tensor | None:
    """Weights (classes, channels) of the classifier, if it is linear in the mean of each feature map."""
    classifier = network.get_classifier()
    if network.training or not isinstance(classifier, torch.nn.Linear):  # training may drop features
        return None
    means, pooled = maps.mean(dim=(2, 3)), network.forward_head(maps, pre_logits=True)
    linear = pooled.shape == means.shape and torch.allclose(pooled, means, rtol=1e-4, atol=1e-6)
    return classifier.weight.detach().float() if linear else None


class _Head(torch.nn.Module):
    """What comes after the last feature maps, as a network whose first layer is theirs."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.maps = network, torch.nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.network.forward_head(self.maps(maps))


def _library_maps(head: _Head, maps: Tensor, targets: Sequence[int], method: str) -> np.ndarray:
    """Maps of pytorch-grad-cam, which takes long to import."""
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    methods = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "layercam": LayerCAM, "hirescam": HiResCAM}
    with methods[method](head, [head.maps]) as cam:
        return cam(maps.requires_grad_(), [ClassifierOutputTarget(k) for k in targets])


def _eigencam(maps: np.ndarray) -> np.ndarray:
    """Project each cell on the direction in which the cells of the image differ most.

    pytorch-grad-cam computes as many directions as there are channels, and takes 30 times longer.
    """
    cells = maps.reshape(*maps.shape[:2], -1).swapaxes(1, 2)
    cells = cells - cells.mean(axis=1, keepdims=True)
    _, _, directions = np.linalg.svd(cells, full_matrices=False)
    heat = (cells @ directions[:, 0, :, None]).reshape(len(maps), *maps.shape[2:])
    return stretch(heat)
