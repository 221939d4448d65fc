"""The network: a thin subclass of transformers' timm wrapper whose folders load in transformers, timm and here."""

from pathlib import Path
from typing import Any

import numpy as np
import timm
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

from skinvision_hf.config import ModelConfig
from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write, without_folders, write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.initial_weights import initial_weights, weights_origin
from skinvision_hf.models.release import CONFIG_FILE, WEIGHTS_FILE, resolve_release

__all__ = ["SkinVisionForImageClassification"]

EXTRA_KEYS = ("initial_weights", "calibration_temperature")


class SkinVisionForImageClassification(TimmWrapperForImageClassification):
    """A timm network with a seven-way classifier, as a transformers model.

    `forward(pixel_values, labels=None)` takes normalised images (n, 3, height, width) and returns an output whose
    `logits` are (n, 7), in the order of `skinvision_hf.labels.CODES`. The timm network itself is `timm_model`.
    """

    _backbone_frozen = False

    @classmethod
    def create(cls, config: ModelConfig | None = None) -> "SkinVisionForImageClassification":
        """Create a network with a new classifier on initial weights.

        Args:
            config: Architecture, initial weights, input size and regularisation; the defaults when None.

        Raises:
            ModelError: If the architecture is unknown, or its initial weights cannot be had or do not fit.
        """
        config = config or ModelConfig()
        if not timm.is_model(config.architecture):
            raise ModelError(f"timm knows no architecture {config.architecture!r}; see timm.list_models()")
        state, pretrained_cfg = initial_weights(config.architecture, config.init)
        pretrained_cfg |= {
            "input_size": [3, config.image_size, config.image_size],
            "crop_mode": "squash",
            "crop_pct": 1.0,
        }
        model_args = {"drop_rate": config.drop_rate, "drop_path_rate": config.drop_path_rate}
        model = cls(_wrapper_config(config.architecture, pretrained_cfg, model_args))
        misfit = f"the weights of {config.init!r} do not fit {config.architecture}"
        try:
            result = model.timm_model.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise ModelError(f"{misfit}: their shapes differ; choose others with --model.init") from error
        if result.unexpected_keys:
            raise ModelError(f"{misfit}, which has no {result.unexpected_keys[0]}; choose others with --model.init")
        lacking = [key for key in result.missing_keys if not _may_be_new(key, pretrained_cfg)]
        if config.init != "random" and lacking:
            raise ModelError(f"{misfit}: {len(lacking)} tensors are not in them; choose others with --model.init")
        model.config.initial_weights = {
            "source": without_folders(config.init),
            "origin": weights_origin(config.init),
            "new_tensors": len(result.missing_keys),
        }
        return model.eval()

    def pixels_like(self, other: "SkinVisionForImageClassification", *keys: str) -> bool:
        """Whether both prepare images alike, by these keys of their `pretrained_cfg`, such as `mean` and `std`."""
        return all(_same(self.config.pretrained_cfg[key], other.config.pretrained_cfg[key]) for key in keys)

    def freeze_backbone(self) -> None:
        """Train the classifier only; batch-norm statistics stay as they are, and so does dropout in the backbone."""
        self.requires_grad_(False)
        self.timm_model.get_classifier().requires_grad_(True)
        self._backbone_frozen = True
        self.train(self.training)

    def unfreeze(self) -> None:
        """Train all layers."""
        self.requires_grad_(True)
        self._backbone_frozen = False
        self.train(self.training)

    def train(self, mode: bool = True) -> "SkinVisionForImageClassification":
        """Switch to training mode, except for a frozen backbone, or to evaluation mode."""
        super().train(mode)
        if self._backbone_frozen:
            self.timm_model.eval()
            self.timm_model.get_classifier().train(mode)
        return self

    def save_pretrained(self, save_directory: str | Path, *, half: bool = True) -> None:
        """Write `config.json` and `model.safetensors` so that transformers, timm and this class load the folder.

        Args:
            save_directory: The folder; made when missing.
            half: Store matrices and kernels as float16, which halves the file. Biases and norms stay float32, and all
                loaders compute in float32.
        """
        folder = Path(save_directory)
        state = {key: _storable(value, half) for key, value in self.timm_model.state_dict().items()}
        # The large file first: a disk that it fills keeps the configuration of the weights that are there.
        atomic_write(folder / WEIGHTS_FILE, save(state, metadata={"format": "pt"}))
        write_json(folder / CONFIG_FILE, self._config_dict())

    @classmethod
    def from_pretrained(
        cls,
        ref: str | Path | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> "SkinVisionForImageClassification":
        """Load a release: the bundled one (None), a folder or a Hub id. See `skinvision_hf.models.release.resolve_release`.

        Returns:
            The network in evaluation mode, float32.

        Raises:
            ModelError: If it cannot be found, or is no intact SkinVision release.
        """
        folder = resolve_release(
            ref, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
        name = str(ref or "the bundled release")
        model = cls(_load_config(folder, name))
        state = _load_weights(folder, name)
        try:
            model.timm_model.load_state_dict(state)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"the weights of {name} do not fit its config.json ({detail}); download it again"
            ) from error
        return model.eval()

    def _config_dict(self) -> dict[str, Any]:
        """The configuration in the keys that timm and transformers both read."""
        network = self.timm_model
        model_args = {k: v for k, v in (self.config.model_args or {}).items() if not k.startswith("drop")}
        values = {
            "architecture": self.config.architecture,
            "num_classes": len(CODES),
            "num_features": network.num_features,
            "label_names": list(CODES),
            "model_args": model_args,
            "pretrained_cfg": self.config.pretrained_cfg,
            "model_type": "timm_wrapper",
            "architectures": [TimmWrapperForImageClassification.__name__],
            "problem_type": "single_label_classification",
            "dtype": "float32",
            "transformers_version": transformers.__version__,
        }
        extra = {key: getattr(self.config, key) for key in EXTRA_KEYS if hasattr(self.config, key)}
        return values | extra


def _same(value: Any, other: Any) -> bool:
    """Whether two settings are equal; a file holds lists where timm has tuples."""
    return bool(np.array_equal(value, other))


def _wrapper_config(architecture: str, pretrained_cfg: dict[str, Any], model_args: dict[str, Any]) -> TimmWrapperConfig:
    return TimmWrapperConfig.from_dict(
        {
            "architecture": architecture,
            "num_classes": len(CODES),
            "label_names": list(CODES),
            "model_args": model_args,
            "pretrained_cfg": pretrained_cfg,
            "problem_type": "single_label_classification",
        }
    )


def _may_be_new(key: str, pretrained_cfg: dict[str, Any]) -> bool:
    """Whether initial weights may lack a tensor: the classifier, and squeeze-and-excitation, which Lite0 has not."""
    classifier = pretrained_cfg.get("classifier") or "classifier"
    return key.startswith(f"{classifier}.") or ".se." in key or key.endswith("num_batches_tracked")


def _storable(tensor: Tensor, half: bool) -> Tensor:
    """A contiguous copy for the file; vectors hold statistics whose range float16 may not cover."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() and tensor.ndim > 1 else tensor.clone()


def _load_config(folder: Path, name: str) -> TimmWrapperConfig:
    foreign = f"{name} is no SkinVision release: its config.json has no timm architecture and pretrained_cfg"
    try:
        config = TimmWrapperConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"the config.json of {name} cannot be read; download the release again") from error
    except TypeError as error:  # what transformers makes of another kind of model's fields
        raise ModelError(foreign) from error
    architecture = getattr(config, "architecture", None)
    if config.model_type != "timm_wrapper" or not hasattr(config, "pretrained_cfg"):
        raise ModelError(foreign)
    if not timm.is_model(architecture):
        raise ModelError(f"{name} needs the architecture {architecture!r}, which this timm does not know; upgrade timm")
    labels = [config.id2label[i] for i in range(config.num_labels)]
    if labels != list(CODES):
        raise ModelError(f"{name} is no SkinVision release: its labels are {labels}, not {list(CODES)}")
    return config


def _load_weights(folder: Path, name: str) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"{name} has no {WEIGHTS_FILE}; download the release again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"the {WEIGHTS_FILE} of {name} is damaged; download the release again") from error
