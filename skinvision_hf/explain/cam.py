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
        head = _Head(network)
        if method in ("gradcam", "hirescam") and (weights := head.class_weights(maps)) is not None:
            return stretch(np.einsum("nchw,nc->nhw", maps.cpu().numpy(), weights[list(targets)].cpu().numpy()))
        return _library_maps(head, maps, targets, method)


class _Head(torch.nn.Module):
    """What comes after the last feature maps, as a network of its own.

    The maps pass through a layer that belongs to this object alone. Hooks go there and gradients stop there, so threads
    that explain, predict or train on the same network cannot meet.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network: Any = _frozen_view(network)
        self.maps = torch.nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.network.forward_head(self.maps(maps))

    def class_weights(self, maps: Tensor) -> Tensor | None:
        """Weights (classes, channels) of the classifier, if it is linear in the mean of each feature map."""
        classifier = self.network.get_classifier()
        means, pooled = maps.mean(dim=(2, 3)), self.network.forward_head(maps, pre_logits=True)
        linear = isinstance(classifier, torch.nn.Linear) and pooled.shape == means.shape
        return classifier.weight.float() if linear and torch.allclose(pooled, means, rtol=1e-4, atol=1e-6) else None


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


def _frozen_view(module: torch.nn.Module) -> torch.nn.Module:
    """The same network on the same memory, in evaluation mode, with parameters that gather no gradients.

    Hundreds of times cheaper than a copy, so that each explanation has its own and none can be out of date.
    """
    view = copy.copy(module)
    view._parameters = {name: _frozen(value) for name, value in module._parameters.items()}
    view._modules = {name: child and _frozen_view(child) for name, child in module._modules.items()}
    view.training = False
    return view


def _frozen(parameter: Tensor | None) -> torch.nn.Parameter | None:
    if parameter is None:
        return None
    # A network that was loaded in inference mode has tensors that autograd refuses.
    values = parameter.clone() if parameter.is_inference() else parameter.detach()
    return torch.nn.Parameter(values, requires_grad=False)
