"""The network: a thin subclass of transformers' timm wrapper whose folders load in transformers, timm and here."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

from skinvision_hf.data.images import to_rgb
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write, write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.cell_centres import cell_centres
from skinvision_hf.models.release import CONFIG_FILE, WEIGHTS_FILE, resolve_release

EXTRA_KEYS = ("initial_weights", "calibration_temperature")


class SkinVisionForImageClassification(TimmWrapperForImageClassification):
    """A timm network with a seven-way classifier, as a transformers model.

    `forward(pixel_values, labels=None)` takes normalised images (n, 3, height, width) and returns an output whose
    `logits` are (n, 7), in the order of `skinvision_hf.labels.CODES`. The timm network itself is `timm_model`.
    """

    _backbone_frozen = False

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Length of the pooled features of each stage; empty if the network cannot show its stages."""
        if not hasattr(self.timm_model, "forward_intermediates"):
            return ()
        return tuple(entry["num_chs"] for entry in self.timm_model.feature_info)

    @property
    def cell_centres(self) -> tuple[list[float], list[float]] | None:
        """Where each row and column of the last feature maps looks; see `skinvision_hf.models.cell_centres`."""
        return cell_centres(self.config)

    def prepare(self, images: Iterable[Image.Image]) -> Tensor:
        """Normalised images (n, 3, height, width) on the network's device, from images of any size and mode."""
        transform = eval_transform(self.config.pretrained_cfg)
        return torch.stack([transform(to_rgb(image)) for image in images]).to(self.device)

    def feature_size(self, stage: int | None) -> int:
        """Length of the pooled features of a stage; None for those that the classifier reads."""
        return self.timm_model.head_hidden_size if stage is None else self.stage_channels[stage]

    def activation_maps(self, maps: Tensor) -> Tensor:
        """Class activation maps (n, 7, h, w) of the last feature maps (Zhou et al. 2016, doi:10.1109/CVPR.2016.319).

        Raises:
            ModelError: If the classifier does not work on the mean of the feature maps.
        """
        weight = self.timm_model.get_classifier().weight
        if maps.ndim != 4 or maps.shape[1] != weight.shape[1]:
            reason = "no class activation maps, since its classifier does not work on the mean of its feature maps"
            raise ModelError(f"{self.config.architecture} has {reason}; train with --loss.mask_weight 0")
        return torch.einsum("kc,nchw->nkhw", weight, maps)

    def feature_maps(self, pixel_values: Tensor, *, stage: int | None = None) -> tuple[Tensor, Tensor]:
        """Run the network up to its last feature maps and pool the features of one stage on the way.

        `timm_model.forward_head` turns the maps into logits, so one pass serves classification, OOD detection and
        heat maps.

        Args:
            pixel_values: Normalised images (n, 3, height, width).
            stage: Position in `stage_channels`; None for the features that the classifier reads.

        Returns:
            The last feature maps (n, channels, h, w) and the pooled features (n, d).
        """
        if stage is None:
            maps = self.timm_model.forward_features(pixel_values)
            return maps, self.timm_model.forward_head(maps, pre_logits=True)
        maps, stages = self.timm_model.forward_intermediates(pixel_values)
        return maps, stages[stage].mean(dim=(2, 3))

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

    def stored_state(self) -> dict[str, Tensor]:
        """The weights of the timm network as their file holds them."""
        return {key: _storable(value) for key, value in self.timm_model.state_dict().items()}

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write `config.json` and `model.safetensors` so that transformers, timm and this class load the folder.

        Matrices and kernels are stored as float16, which halves the file; biases and norms stay float32. All loaders
        compute in float32.
        """
        folder = Path(save_directory)
        # The large file first: a disk that it fills keeps the configuration of the weights that are there.
        atomic_write(folder / WEIGHTS_FILE, save(self.stored_state(), metadata={"format": "pt"}))
        write_json(folder / CONFIG_FILE, self._config_dict())

    @classmethod
    def from_pretrained(cls, ref: str | Path | None = None, **options: Any) -> "SkinVisionForImageClassification":
        """Load the network of a release.

        Args:
            ref: None for the bundled release, a folder, or a Hub id.
            options: Of `skinvision_hf.models.release.resolve_release`, such as `revision` and `token`.

        Returns:
            The network in evaluation mode, float32.

        Raises:
            ModelError: If it cannot be found, or is not an intact SkinVision release.
        """
        folder, name = resolve_release(ref, **options), str(ref or "the bundled release")
        config = _load_config(folder, name)
        try:
            model = cls(config)
            eval_transform(config.pretrained_cfg)
        except (AssertionError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ModelError(f"the {CONFIG_FILE} of {name} is damaged; download the release again") from error
        try:
            model.timm_model.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (SafetensorError, OSError) as error:
            raise ModelError(f"the {WEIGHTS_FILE} of {name} is damaged; download the release again") from error
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
            "cell_centres": self.cell_centres,
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


def _storable(tensor: Tensor) -> Tensor:
    """A contiguous copy for the file; vectors hold statistics whose range float16 may not cover."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor.clone()


def _load_config(folder: Path, name: str) -> TimmWrapperConfig:
    try:
        config = TimmWrapperConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError, StrictDataclassError) as error:
        raise ModelError(f"the {CONFIG_FILE} of {name} is damaged; download the release again") from error
    if not timm.is_model(config.architecture):
        raise ModelError(
            f"{name} needs the architecture {config.architecture!r}, which this timm does not know; upgrade timm"
        )
    return config


class EvaluationMode:
    """Holds a network in evaluation mode inside `with`, then gives each module back its own mode.

    Threads may overlap: the first one in switches, the last one out restores.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._users = 0
        self._in_training: list[torch.nn.Module] = []

    def __reduce__(self) -> tuple[type["EvaluationMode"], tuple[torch.nn.Module]]:
        """Copy and pickle it with its network only: a lock belongs to one process."""
        return EvaluationMode, (self._model,)

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._in_training = [module for module in self._model.modules() if module.training]
                self._set_training(False)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._set_training(True)

    def _set_training(self, value: bool) -> None:
        for module in self._in_training:
            module.training = value


def best_device() -> torch.device:
    """Return the machine's accelerator, or the CPU where there is none."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
