"""An image in, a `Prediction` out."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, overload

import numpy as np
import torch
from torch import Tensor

from skinvision_hf.config import CAM_METHOD
from skinvision_hf.data.images import ImageSource, is_image_source, open_image
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import ModelError
from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.models.devices import best_device
from skinvision_hf.models.evaluation_mode import EvaluationMode
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.models.prediction import Prediction
from skinvision_hf.models.prediction_sets import COVERAGE, ConformalPredictor, prediction_sets
from skinvision_hf.models.release import release_files, resolve_release
from skinvision_hf.ood.detector import OODDetector
from skinvision_hf.ood.stages import forward_with_features, stage_channels

if TYPE_CHECKING:
    from skinvision_hf.explain.explanation import Explanation
    from skinvision_hf.hub import Links, Published

__all__ = ["Guard", "Prediction", "SkinVision"]


class Guard(Protocol):
    """What tells images like the training images from others."""

    @property
    def refused(self) -> float:
        """Typicality from which on an image counts as in distribution."""

    @property
    def stage(self) -> int | None:
        """Stage of the network whose features it looks at; None for those that the classifier reads."""

    def score(self, features: Tensor) -> Tensor:
        """From pooled features (n, d) of that stage to typicality (n,), in [0, 1]."""


class SkinVision:
    """A release, ready to look at images. Safe to use from several threads.

    Attributes:
        model: The network.
        release: The folder that it came from.
        device: Where it runs.
        transform: From an RGB image to the network's input (3, height, width).
        guard: Tells images like the training images from others; None when the release carries none.
        conformal: Makes prediction sets; None when the release carries no conformal scores.
        evaluation_mode: Context manager in which the network must run.
    """

    labels: tuple[str, ...] = CODES

    def __init__(
        self,
        model: SkinVisionForImageClassification,
        release: Path,
        *,
        device: str | torch.device | None = None,
        guard: Guard | None = None,
        conformal: ConformalPredictor | None = None,
    ) -> None:
        self.model = model
        self.release = release
        self.transform = eval_transform(model.config.pretrained_cfg)
        self.guard = guard
        self.conformal = conformal
        self.evaluation_mode = EvaluationMode(model)
        self.device = torch.device("cpu")
        self.to(device if device is not None else best_device())

    @classmethod
    def from_pretrained(
        cls,
        ref: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> "SkinVision":
        """Load a release.

        Args:
            ref: None for the release that ships with the package, a folder, or a Hub id such as `user/name`.
            revision: Branch, tag or commit on the Hub.
            device: Where to run; the machine's accelerator when None, else the CPU.
            cache_dir: Where downloads are kept; the Hub's own cache by default.
            local_files_only: Use the cache and ask no server.
            token: Token for private repositories; the saved login by default.

        Raises:
            ModelError: If the release cannot be found or loaded, or the device is not there.
        """
        release = resolve_release(
            ref, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
        model = SkinVisionForImageClassification.from_pretrained(release)
        return cls(
            model,
            release,
            device=device,
            guard=OODDetector.load(
                release,
                dimension=model.timm_model.head_hidden_size,
                channels=stage_channels(model.timm_model),
            ),
            conformal=ConformalPredictor.load(release),
        )

    def to(self, device: str | torch.device) -> "SkinVision":
        """Move the network to a device and return this object.

        Raises:
            ModelError: If the device is not there.
        """
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
            raise ModelError(f"this machine has no device {str(device)!r} that torch can use; try 'cpu'") from error
        self.device = torch.device(device)
        # Convolutions are faster when a pixel's channels lie side by side.
        self.model.to(device=self.device, memory_format=torch.channels_last)
        return self

    @overload
    def predict(  # type: ignore[overload-overlap]  # a path is also an iterable of strings
        self, images: ImageSource, *, batch_size: int = ..., coverage: float = ..., class_conditional: bool = ...
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        images: Iterable[ImageSource],
        *,
        batch_size: int = ...,
        coverage: float = ...,
        class_conditional: bool = ...,
    ) -> list[Prediction]: ...
    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        batch_size: int = 32,
        coverage: float = COVERAGE,
        class_conditional: bool = True,
    ) -> Prediction | list[Prediction]:
        """Classify one image or several.

        Args:
            images: A path, encoded bytes, a binary file object, a PIL image or a NumPy array; or a list, or any other
                iterable, of them. See `skinvision_hf.data.images.open_image` for what is done with them.
            batch_size: Images that go through the network at once; only so many are held in memory.
            coverage: How often a prediction set aims at holding the truth, between 0 and 1.
            class_conditional: Whether it aims to do so for each diagnosis, or only over all images.

        Returns:
            One prediction for one image; a list, in the same order, for several.

        Raises:
            ImageError: If an image cannot be used; the message names it.
            ModelError: If the network's answer is not finite, the batch size is below 1, or the coverage is not
                between 0 and 1.
        """
        if batch_size < 1:
            raise ModelError(f"batch_size is {batch_size}; give at least 1")
        sets = self._sets(coverage, class_conditional)
        if is_image_source(images) or not isinstance(images, Iterable):
            return self._predict_batch(self.transform(open_image(cast(ImageSource, images))).unsqueeze(0), sets)[0]
        predictions: list[Prediction] = []
        batch: list[Tensor] = []
        for number, image in enumerate(cast(Iterable[ImageSource], images)):
            batch.append(self.transform(open_image(image, name=f"image {number}")))
            if len(batch) == batch_size:
                predictions += self._predict_batch(torch.stack(batch), sets)
                batch.clear()
        return predictions + (self._predict_batch(torch.stack(batch), sets) if batch else [])

    def explain(
        self,
        image: ImageSource,
        *,
        target: str | None = None,
        method: str = CAM_METHOD,
        max_side: int | None = None,
    ) -> "Explanation":
        """Show which parts of an image speak for a diagnosis.

        Args:
            image: One image, of any kind that `predict` takes.
            target: Code of the diagnosis to explain; the most probable one when None.
            method: One of `skinvision_hf.config.CAM_METHODS`.
            max_side: Longest side of the heat map in pixels, for large photographs; None for the image's own size.

        Returns:
            The heat map at the image's own size, or made smaller to `max_side`, with the prediction.

        Raises:
            ImageError: If the image cannot be used.
            ModelError: If there is no such diagnosis or method, or the network has no feature maps to look at.
        """
        from skinvision_hf.explain.explanation import check_choice, explain_maps

        check_choice(target, method)
        picture = open_image(image)
        with torch.inference_mode(), self.evaluation_mode:
            maps, seen = self._feature_maps(self.transform(picture).unsqueeze(0))
            prediction = self._predict_maps(maps, seen, self._sets(COVERAGE, True))[0]
        return explain_maps(self.model, maps, picture, prediction, target=target, method=method, max_side=max_side)

    def _sets(self, coverage: float, class_conditional: bool) -> tuple[float, np.ndarray] | None:
        """The coverage and the thresholds that prediction sets need; None when the release has no scores for them."""
        if self.conformal is None:
            return None
        return coverage, self.conformal.thresholds(coverage, class_conditional=class_conditional)

    def _predict_batch(self, pixels: Tensor, sets: tuple[float, np.ndarray] | None) -> list[Prediction]:
        """Predict from normalised pixels (n, 3, height, width)."""
        with torch.inference_mode(), self.evaluation_mode:
            return self._predict_maps(*self._feature_maps(pixels), sets)

    def _feature_maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The last feature maps, for classifier and explanations, and the pooled features that the guard looks at."""
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        return forward_with_features(self.model.timm_model, pixels, self.guard.stage if self.guard else None)

    def _predict_maps(self, maps: Tensor, seen: Tensor, sets: tuple[float, np.ndarray] | None) -> list[Prediction]:
        guard = self.guard
        logits = self.model.timm_model.forward_head(maps)
        typicality = guard.score(seen).tolist() if guard else None
        probabilities = logits.float().cpu().double().softmax(dim=1).numpy()
        if not np.isfinite(probabilities).all():
            raise ModelError(f"the network of {self.release} gives no finite answer; download the release again")
        in_set = prediction_sets(probabilities, sets[1]).tolist() if sets else None
        return [
            Prediction.from_probabilities(
                row,
                in_distribution=typicality[n] >= guard.refused if guard and typicality else None,
                typicality=typicality[n] if typicality else None,
                in_set=in_set[n] if in_set else None,
                coverage=sets[0] if sets else None,
            )
            for n, row in enumerate(probabilities.tolist())
        ]

    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the release, byte for byte, to a folder.

        Returns:
            The folder.

        Raises:
            ModelError: If the network's weights are no longer those of the release.
        """
        self._assert_unchanged()
        target = Path(folder)
        for source in release_files(self.release):
            atomic_write(target / source.relative_to(self.release), source.read_bytes())
        return target

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        tag: str | None = None,
        token: str | None = None,
        dry_run: bool = False,
        overwrite: bool = False,
        examples: int = 0,
        examples_from: str = "synthetic",
        links: "Links | None" = None,
    ) -> "Published":
        """Publish the release on the Hub; see `skinvision_hf.hub.publish_release` for the options.

        Returns:
            What was published: its plan, address and commit.

        Raises:
            ModelError: If the network's weights are no longer those of the release.
            HubError: If the Hub refuses.
        """
        from skinvision_hf.hub import Links, publish_release

        self._assert_unchanged()
        return publish_release(
            self.release,
            repo_id,
            private=private,
            tag=tag,
            token=token,
            dry_run=dry_run,
            overwrite=overwrite,
            examples=examples,
            examples_from=examples_from,
            links=links or Links(),
        )

    def _assert_unchanged(self) -> None:
        """Weights that were changed in memory have none of the release's metrics, so they must not travel with them."""
        stored = SkinVisionForImageClassification.from_pretrained(self.release).state_dict()
        if any(not torch.equal(value.cpu(), stored[key]) for key, value in self.model.state_dict().items()):
            raise ModelError(
                "the weights were changed since they were loaded; save them with .model.save_pretrained(folder) "
                "and evaluate that folder with scripts/evaluate_model.py"
            )
