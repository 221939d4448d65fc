"""`SkinVision`: a loaded release, which predicts, explains, and can be saved and published."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, overload

import numpy as np
import torch
from torch import Tensor

from skinvision_hf.data.images import ImageSource, is_image_source, open_image
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import ImageError, ModelError
from skinvision_hf.files import atomic_write
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import EvaluationMode, SkinVisionForImageClassification, best_device
from skinvision_hf.models.prediction import COVERAGE, ConformalPredictor, Prediction, load_operating_point
from skinvision_hf.models.release import release_files, resolve_release
from skinvision_hf.ood.detector import OODDetector

if TYPE_CHECKING:
    from skinvision_hf.explain.explanation import Explanation
    from skinvision_hf.hub import Published

Images: TypeAlias = Iterable[ImageSource]


class SkinVision:
    """A trained model, loaded from its release folder. Safe to use from several threads; it can be copied and pickled.

    Attributes:
        model: The network.
        release: The folder from which it was loaded.
        device: Where it runs.
        transform: Turns an RGB image into the network's input (3, height, width).
        detector: Detects out-of-distribution images; None when the release has no detector.
        conformal: Makes prediction sets; None when the release has no conformal scores.
        operating_point: The threshold that decides what is suspicious; None when the release has none. Choose another
            one with `skinvision_hf.models.prediction.load_operating_point`.
    """

    labels: tuple[str, ...] = CODES

    def __init__(
        self, model: SkinVisionForImageClassification, release: Path, *, device: str | torch.device | None = None
    ) -> None:
        self.model = model
        self.release = release
        self.transform = eval_transform(model.config.pretrained_cfg)
        self.detector = OODDetector.load(
            release, dimension=model.timm_model.head_hidden_size, channels=model.stage_channels
        )
        self.conformal = ConformalPredictor.load(release)
        self.operating_point = load_operating_point(release)
        self._evaluation_mode = EvaluationMode(model)
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
            device: Where to run; when None, the machine's accelerator if it has one, else the CPU.
            cache_dir: Where downloads are kept; the Hub's own cache by default.
            local_files_only: Use the cache and ask no server.
            token: Token for private repositories; the saved login by default.

        Raises:
            ModelError: If the release cannot be found or loaded, or the device does not exist.
        """
        release = resolve_release(
            ref, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
        return cls(SkinVisionForImageClassification.from_pretrained(release), release, device=device)

    def to(self, device: str | torch.device) -> "SkinVision":
        """Move the network to a device and return this object.

        Raises:
            ModelError: If the device does not exist.
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
        self, images: ImageSource, *, batch_size: int = ..., coverage: float = ...
    ) -> Prediction: ...
    @overload
    def predict(
        self, images: Images, *, batch_size: int = ..., coverage: float = ..., on_error: Literal["raise"] = ...
    ) -> list[Prediction]: ...
    @overload
    def predict(
        self, images: Images, *, batch_size: int = ..., coverage: float = ..., on_error: Literal["return"]
    ) -> list[Prediction | ImageError]: ...
    def predict(
        self,
        images: ImageSource | Images,
        *,
        batch_size: int = 32,
        coverage: float = COVERAGE,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Any:
        """Classify one image or several.

        Args:
            images: A path, encoded bytes, a binary file object, a PIL image or a NumPy array; or a list, or any other
                iterable, of them. `skinvision_hf.data.images.open_image` opens them.
            batch_size: Number of images that go through the network, and are in memory, at once.
            coverage: Coverage of the conformal prediction sets, between 0 and 1.
            on_error: What to do with an image that cannot be used: `raise` stops at the first one; `return` puts an
                `ImageError` in its place and classifies the others.

        Returns:
            One prediction for one image; a list, in the same order, for several.

        Raises:
            ImageError: If an image cannot be used; the message names it.
            ModelError: If the network's output is not finite, or an option is out of its range.
        """
        if batch_size < 1:
            raise ModelError(f"batch_size is {batch_size}; give at least 1")
        if on_error not in ("raise", "return"):
            raise ModelError(f"on_error is {on_error!r}; give 'raise' or 'return'")
        single = is_image_source(images) or not isinstance(images, Iterable)
        sources = enumerate(cast(Images, [images] if single else images))
        answers: list[Prediction | ImageError] = []
        while chunk := list(islice(sources, batch_size)):
            batch = [self._pixels(image, "the image" if single else f"image {n}", on_error) for n, image in chunk]
            usable = [pixels for pixels in batch if isinstance(pixels, Tensor)]
            predictions = iter(self._answer(torch.stack(usable), coverage)[1] if usable else ())
            answers += [item if isinstance(item, ImageError) else next(predictions) for item in batch]
        return answers[0] if single else answers

    def explain(
        self,
        image: ImageSource,
        *,
        target: str | None = None,
        method: str | None = None,
        max_side: int | None = None,
    ) -> "Explanation":
        """Show which parts of an image support a diagnosis, and classify it in the same forward pass.

        Args:
            image: One image, in any form that `predict` takes.
            target: Code of the diagnosis to explain; the most probable one when None.
            method: One of `skinvision_hf.config.CAM_METHODS`; Grad-CAM when None.
            max_side: Longest side of the heat map in pixels, for large photographs; None for the image's own size.

        Returns:
            The heat map, at the image's own size or reduced to `max_side`, and the prediction.

        Raises:
            ImageError: If the image cannot be used.
            ModelError: If there is no such diagnosis or method, or the network has no feature maps.
        """
        from skinvision_hf.config import CAM_METHOD
        from skinvision_hf.explain.explanation import check_choice, explain_maps

        method = method or CAM_METHOD
        if max_side is not None and max_side < 1:
            raise ModelError(f"max_side is {max_side}; give at least 1")
        check_choice(target, method)
        picture = open_image(image)
        maps, (prediction,) = self._answer(self.transform(picture).unsqueeze(0), COVERAGE)
        return explain_maps(self.model, maps, picture, prediction, target=target, method=method, max_side=max_side)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the release, unchanged, to a folder.

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

    def push_to_hub(self, repo_id: str, **options: Any) -> "Published":
        """Publish the release on the Hub.

        Args:
            repo_id: Repository, such as `user/skinvision-efficientnet-b0`; created if it does not exist.
            options: Options of `skinvision_hf.hub.publish_model`, such as `private`, `tag`, `token` and `dry_run`.

        Returns:
            What was published: its files, address and commit.

        Raises:
            ModelError: If the network's weights are no longer those of the release.
            HubError: If the release is incomplete or damaged, or the Hub refuses the request.
        """
        from skinvision_hf.hub import publish_model

        self._assert_unchanged()
        return publish_model(self.release, repo_id, **options)

    def _pixels(self, image: ImageSource, name: str, on_error: str) -> Tensor | ImageError:
        try:
            return self.transform(open_image(image, name=name))
        except ImageError as error:
            if on_error == "raise":
                raise
            return error

    def _answer(self, pixels: Tensor, coverage: float) -> tuple[Tensor, list[Prediction]]:
        """The last feature maps of normalised pixels (n, 3, height, width), for heat maps, and the predictions."""
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._evaluation_mode:
            maps, pooled = self.model.feature_maps(pixels, stage=self.detector.stage if self.detector else None)
            logits = self.model.timm_model.forward_head(maps)
        probabilities = logits.float().cpu().double().softmax(dim=1).numpy()
        if not np.isfinite(probabilities).all():
            raise ModelError(f"the network of {self.release} gives no finite answer; download the release again")
        found: dict[str, list[Any]] = {}
        if self.conformal:
            found["in_set"] = self.conformal.prediction_sets(probabilities, coverage).tolist()
        if self.detector:
            scores = found["in_distribution_score"] = self.detector.score(pooled).tolist()
            kept = found["in_distribution"] = [score >= self.detector.refused for score in scores]
            if (level := self.detector.unusual) is not None:
                found["unusual"] = [inside and score < level for inside, score in zip(kept, scores, strict=True)]
        predictions = [
            Prediction.from_probabilities(
                row,
                operating_point=self.operating_point,
                coverage=coverage,
                **{name: values[n] for name, values in found.items()},
            )
            for n, row in enumerate(probabilities.tolist())
        ]
        return maps, predictions

    def _assert_unchanged(self) -> None:
        """The metrics of a release do not hold for weights that were changed in memory."""
        stored = SkinVisionForImageClassification.from_pretrained(self.release).state_dict()
        if any(not torch.equal(value.cpu(), stored[key]) for key, value in self.model.state_dict().items()):
            raise ModelError(
                "the weights were changed since they were loaded; save them with .model.save_pretrained(folder) "
                "and measure them with 'skinvision evaluate'"
            )
