"""Training from a configuration to a release folder: the head, then all layers."""

import json
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed
from datasets import DatasetDict, concatenate_datasets

from skinvision_hf.config import EVALUATION_BATCH, PhaseConfig, TrainConfig
from skinvision_hf.data import limit_images, load_ham10000, verify_images
from skinvision_hf.data.augmentation import TrainTransform
from skinvision_hf.data.loaders import make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.files import atomic_write, make_folder, read_json, write_json
from skinvision_hf.labels import CODES
from skinvision_hf.models.creation import create_model
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.release import HISTORY_FILE, TRAINING_FILE
from skinvision_hf.training.checkpoints import Checkpoints, assert_same_settings, flatten
from skinvision_hf.training.loop import Phase
from skinvision_hf.training.losses import ClassificationLoss
from skinvision_hf.training.provenance import portable_settings, training_history, training_record
from skinvision_hf.training.setup import as_launched, launch_settings, start_accelerator

PHASES = ("head", "finetune")

logger = logging.getLogger(__name__)


def load_training_data(config: TrainConfig) -> DatasetDict:
    """Load the splits of a run, cut to `config.limit` images each; DataError if they cannot be loaded.

    They have the column `dx_type`, for the report, and `mask` where the loss uses lesion masks.
    """
    masks = config.loss.mask_weight > 0
    try:
        data = load_ham10000(config.data, split_scheme=config.split_scheme, dx_type=True, masks=masks)
    except DataError as error:
        if masks and "mask" in str(error):
            raise DataError(f"{error}; or train without lesion masks: --loss.mask_weight 0") from error
        raise
    return limit_images(data, config.limit, seed=config.seed)


class Trainer:
    """A training run on the splits from `load_training_data`, on any number of processes.

    Raises:
        DataError: If the settings do not fit this machine, the launcher or the data, or the output folder cannot be
            written to.
        RunError: If fewer processes were started than asked for.
    """

    def __init__(self, config: TrainConfig, data: DatasetDict) -> None:
        self.accelerator = start_accelerator(config)
        self.config, self.data = as_launched(config, self.accelerator), data
        if len(data["train"]) < self.accelerator.num_processes or not len(data["validation"]):
            raise DataError("the training or validation split holds too few images; use more data or fewer processes")
        self.output_dir = make_folder(config.output_dir)
        self.checkpoints = Checkpoints(self.output_dir)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.accelerator.register_for_checkpointing(self)

    def train(self, *, resume: bool = False) -> SkinVisionForImageClassification:
        """Train the head, then all layers, and write config.json, model.safetensors, training.json and history.jsonl.

        Args:
            resume: Go on from the last complete checkpoint in the output folder, with the same settings (only how
                images are loaded, the tracker and the folders that data and weights lie in may differ) and as many
                processes. A run that is trained already is left as it is.

        Returns:
            The network after the last epoch, as the release holds it. The checkpoints are gone once it is written.

        Raises:
            DataError: If the output folder cannot be used, an image cannot be read, or a run is resumed with other
                settings or launched otherwise.
            ModelError: If the initial weights cannot be loaded.
            RunError: If the loss becomes NaN or infinite, the disk is full, or the machines do not share the output
                folder.
            KeyboardInterrupt: After Ctrl-C, with a message that says how to continue.
        """
        config, accelerator, launch = self.config, self.accelerator, launch_settings(self.accelerator)
        if resume and (self.output_dir / TRAINING_FILE).is_file():
            record = read_json(self.output_dir / TRAINING_FILE)
            assert_same_settings(config, launch, record | record.get("config", {}))
            logger.warning("%s is trained already", self.output_dir)
            return SkinVisionForImageClassification.from_pretrained(self.output_dir)
        checkpoint = self.checkpoints.find(resume=resume)
        previous = training_history(Path(config.model.init))
        self.start_network()
        self.checkpoints.agree_on_settings(config, launch, accelerator)
        self._verify_images()
        accelerator.init_trackers("skinvision", config=flatten(portable_settings(config)))
        try:
            first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
            for index in range(first, len(PHASES)):
                self._run_phase(index, checkpoint if index == first else None)
            if accelerator.is_main_process:
                self._write_release(previous)
            accelerator.wait_for_everyone()
        except KeyboardInterrupt:
            saved = "All complete epochs are saved. " if self.checkpoints.newest() else "No epoch was complete. "
            raise KeyboardInterrupt(f"{saved}Run the same command with --resume to continue.") from None
        finally:
            # Also takes the processes apart, so nothing may wait for them after it.
            accelerator.end_training()
        # As users load it: with matrices that were rounded to float16.
        return SkinVisionForImageClassification.from_pretrained(self.output_dir)

    def start_network(self) -> None:
        """Make the network, the loaders and the loss, which both phases share."""
        config = self.config
        set_seed(config.seed)
        with self.accelerator.main_process_first():
            self.network = create_model(config.model)
        cfg = self.network.config.pretrained_cfg
        self.transform = TrainTransform(cfg, config.augment)
        load = partial(make_loader, num_workers=config.num_workers)
        masks, size = config.loss.mask_weight > 0, config.batch_size
        self.loaders = (
            load(
                self.data["train"], self.transform, batch_size=size, shuffle=True, masks=masks, cache_gb=config.cache_gb
            ),
            load(self.data["validation"], eval_transform(cfg), batch_size=EVALUATION_BATCH),
        )
        labels: np.ndarray = self.data["train"].with_format("numpy")["label"][:]
        self.loss = ClassificationLoss(labels, len(CODES), config.loss)

    def _verify_images(self) -> None:
        """Decode every image before hours are spent on the others; each process takes its share."""
        pictures = ["image", "mask"] if self.config.loss.mask_weight else ["image"]
        images = concatenate_datasets([split.select_columns([*pictures, "image_id"]) for split in self.data.values()])
        share = images.shard(self.accelerator.num_processes, self.accelerator.process_index)
        verify_images(share, progress=self.accelerator.is_local_main_process)

    def _run_phase(self, index: int, checkpoint: Path | None) -> None:
        """Train one phase to its last epoch, from its start or from a checkpoint inside of it."""
        name = PHASES[index]
        settings: PhaseConfig = getattr(self.config, name)
        if not settings.epochs:
            return
        self.epoch = 0
        self.phase = Phase(self.config, name, self.network, self.loaders, self.loss, self.accelerator)
        if checkpoint:
            self.checkpoints.load(self.accelerator, checkpoint)
        for epoch in range(self.epoch, settings.epochs):
            # A seed of its own for each epoch makes a resumed run equal to an uninterrupted one.
            set_seed(self.config.seed + 1000 * (index + 1) + epoch, device_specific=True)
            self.phase.train_loader.set_epoch(1000 * index + epoch)
            self.transform.set_progress(epoch / max(settings.epochs - 1, 1))
            numbers = self.phase.train_epoch(f"{name} {epoch + 1}/{settings.epochs}") | self.phase.validate()
            self.epoch = epoch + 1
            self.history.append({"phase": name, "epoch": self.epoch} | numbers)
            if self.accelerator.is_main_process:
                lines = "".join(json.dumps(record) + "\n" for record in self.history)
                atomic_write(self.output_dir / HISTORY_FILE, lines)
            self.accelerator.log(numbers, step=len(self.history))
            self.checkpoints.save(self.accelerator, phase=index, epoch=self.epoch)
        self.network = self.phase.end()

    def _write_release(self, previous: list[dict[str, Any]]) -> None:
        """Write the network and its record; without the checkpoints, a run counts as finished."""
        self.network.save_pretrained(self.output_dir)
        seconds = sum(record["seconds"] for record in self.history)
        record = training_record(self.config, self.data, self.accelerator, seconds=seconds)
        write_json(self.output_dir / TRAINING_FILE, record | {"previous": previous})
        shutil.rmtree(self.checkpoints.folder, ignore_errors=True)

    def state_dict(self) -> dict[str, Any]:
        """What Accelerate saves of this run beside weights, optimiser and schedule."""
        return {"epoch": self.epoch, "history": self.history, "phase": self.phase.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.epoch, self.history = state["epoch"], state["history"]
        self.phase.load_state_dict(state["phase"])
