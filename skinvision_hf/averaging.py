"""Weights of several releases to those of one network: a model soup (Wortsman et al. 2022, arXiv:2203.05482)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.files import write_json
from skinvision_hf.modeling import SkinVisionForImageClassification
from skinvision_hf.releases import CARD_FILE, TRAINING_FILE, WEIGHTS_FILE
from skinvision_hf.training import read_record, training_history

__all__ = ["average_releases"]

# What releases must share of how they prepare images.
PIXELS = ("input_size", "mean", "std", "interpolation", "crop_mode")


def average_releases(folders: Sequence[str | Path], output_dir: str | Path) -> Path:
    """Average the weights of releases that went on from the same weights, and write the network with its record.

    Networks that were trained from one start often lie in one basin of the loss, where their mean is good too; those
    from different starts do not. All are averaged as they are, with their temperatures in their classifiers; the mean
    is to be calibrated anew.

    Args:
        folders: Two or more releases of the same split, architecture and preprocessing.
        output_dir: Gets config.json, model.safetensors and training.json: the record of the first release, and under
            `averaged_with` those of the others.

    Returns:
        `output_dir`; `finish_release` makes a release of it. An average that lies there already, and of which no
        release was made, is replaced.

    Raises:
        DataError: If there are fewer than two, they are of different splits, or the folder holds a release already.
        ModelError: If one cannot be loaded, or they do not fit together.
    """
    output_dir = Path(output_dir)
    if len(folders) < 2:
        raise DataError("one release has no mean with others; give two or more")
    if (output_dir / WEIGHTS_FILE).exists() and not _unfinished(output_dir):
        raise DataError(f"{output_dir} already holds a release; choose another --output_dir")
    models = [SkinVisionForImageClassification.from_pretrained(folder) for folder in folders]
    records = [read_record(Path(folder)) for folder in folders]
    mean = models[0]
    splits = [{step["split"] for step in training_history(Path(folder))} for folder in folders]
    for folder, model, of in zip(folders, models, splits, strict=True):
        if model.config.architecture != mean.config.architecture or not model.pixels_like(mean, *PIXELS):
            raise ModelError(
                f"{folder} and {folders[0]} are of different architectures or inputs; choose releases alike"
            )
        if of != splits[0]:
            raise DataError(f"{folder} and {folders[0]} were trained on different splits; choose releases of one split")
    mean.load_state_dict(_mean([model.state_dict() for model in models]))
    mean.config.calibration_temperature = 1.0
    others = [*records[0].get("averaged_with", ()), *records[1:]]
    write_json(output_dir / TRAINING_FILE, records[0] | {"averaged_with": others})
    mean.save_pretrained(output_dir)
    return output_dir


def _unfinished(folder: Path) -> bool:
    """Whether an average lies there of which no release was made, whose last file is the card."""
    if (folder / CARD_FILE).exists():
        return False
    try:
        return "averaged_with" in read_record(folder)
    except ModelError:
        return False


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Means of floating-point tensors; counters are those of the first."""
    return {
        key: torch.stack([state[key] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }
