"""`SkinVision`: a loaded release, which predicts, explains, and can be saved and published."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, overload

import numpy as np

from skinvision_hf.config import CAM_METHOD, ONNX_METHODS
from skinvision_hf.data.images import ImageSource, is_image_source, open_image
from skinvision_hf.errors import ImageError, ModelError, extras
from skinvision_hf.labels import CODES
from skinvision_hf.models.outputs import NetworkOutputs, softmax
from skinvision_hf.models.prediction import COVERAGE, ConformalPredictor, Prediction, load_operating_point
from skinvision_hf.models.release import copy_release, resolve_release
from skinvision_hf.models.runtimes import CORES, assert_cpu, is_torch, start_runtime
from skinvision_hf.ood.detector import OODDetector

if TYPE_CHECKING:
    import torch

    from skinvision_hf.explain.explanation import Explanation
    from skinvision_hf.hub import Published
    from skinvision_hf.models.modeling import SkinVisionForImageClassification
    from skinvision_hf.models.onnx_runtime import OnnxRuntime
    from skinvision_hf.models.torch_runtime import TorchRuntime

Images: TypeAlias = Iterable[ImageSource]


class SkinVision:
    """A trained model, loaded from its release folder. Safe to use from several threads; it can be copied and pickled.

    Attributes:
        runtime: What computes: an `OnnxRuntime` or a `TorchRuntime`.
        release: The folder from which it was loaded.
        detector: Detects out-of-distribution images; None when the release has no detector.
        conformal: Makes prediction sets; None when the release has no conformal scores.
        operating_point: The threshold that decides what is suspicious; None when the release has none. Choose another
            one with `skinvision_hf.models.prediction.load_operating_point`.
    """

    labels: tuple[str, ...] = CODES

    def __init__(self, runtime: "OnnxRuntime | TorchRuntime", release: Path) -> None:
        self.runtime = runtime
        self.release = release
        self.detector = OODDetector.load(release, runtime)
        if self.detector and is_torch(runtime):
            runtime.stage = self.detector.stage
        self.conformal = ConformalPredictor.load(release)
        self.operating_point = load_operating_point(release)

    @classmethod
    def from_pretrained(
        cls,
        ref: str | Path | None = None,
        *,
        revision: str | None = None,
        runtime: Literal["onnx", "torch"] | None = None,
        device: "str | torch.device | None" = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> "SkinVision":
        """Load a release.

        Args:
            ref: None for the release that ships with the package, a folder, or a Hub id such as `user/name`.
            revision: Branch, tag or commit on the Hub.
            runtime: `onnx` computes on the CPU with ONNX Runtime, `torch` on any device and with every method of
                `explain`. When None, `onnx` where the release has a valid ONNX file, unless `device` names another
                device than the CPU, or torch is installed and a program of a GPU's driver (such as `nvidia-smi`).
            device: Where torch runs, such as `cuda` or `mps`; when None, the machine's accelerator if it has one.
            cache_dir: Where downloads are kept; the Hub's own cache by default.
            local_files_only: Use the cache and ask no server.
            token: Token for private repositories; the saved login by default.

        Raises:
            ModelError: If the release cannot be found or loaded, or the device does not exist.
            SkinVisionError: If the runtime is not installed; the message names the extra that brings it.
        """
        if runtime not in (None, "onnx", "torch"):
            raise ModelError(f"runtime is {runtime!r}; give 'onnx', 'torch' or None")
        release = resolve_release(
            ref, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
        return cls(start_runtime(release, runtime, device), release)

    @property
    def model(self) -> "SkinVisionForImageClassification":
        """The network, which only torch has.

        Raises:
            ModelError: If the release was loaded with ONNX Runtime.
        """
        if not is_torch(self.runtime):
            raise ModelError("ONNX Runtime has no network to change or train; load the release with runtime='torch'")
        return self.runtime.model

    @property
    def device(self) -> "str | torch.device":
        """Where the network runs."""
        return self.runtime.device

    def to(self, device: "str | torch.device") -> "SkinVision":
        """Move the network to a device and return this object.

        Raises:
            ModelError: If the device does not exist, or the runtime cannot use it.
        """
        if is_torch(self.runtime):
            self.runtime.to(device)
        else:
            assert_cpu(device)
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
            batch_size: Number of images that are computed at once, while as many are opened in advance.
            coverage: Coverage of the conformal prediction sets, between 0 and 1.
            on_error: What to do with an image that cannot be used: `raise` stops at the first one; `return` puts an
                `ImageError` in its place and classifies the others.

        Returns:
            One prediction for one image; a list, in the same order, for several.

        Raises:
            ImageError: If an image cannot be used; the message names it.
            ModelError: If the network's output is not finite, or an option is out of its range.
        """
        answers = self.stream(images, batch_size=batch_size, coverage=coverage, on_error=on_error)
        if is_image_source(images) or not isinstance(images, Iterable):
            return next(answers)
        return list(answers)

    def stream(
        self,
        images: ImageSource | Images,
        *,
        batch_size: int = 32,
        coverage: float = COVERAGE,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Iterator[Prediction | ImageError]:
        """Classify any number of images and yield the answers in the same order, a batch after the other.

        The images of the next batch are opened in threads while the network runs. The options and the errors are those
        of `predict`.
        """
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ModelError(f"batch_size is {batch_size!r}; give a whole number of at least 1")
        if on_error not in ("raise", "return"):
            raise ModelError(f"on_error is {on_error!r}; give 'raise' or 'return'")
        if is_image_source(images) or not isinstance(images, Iterable):
            prepared = iter([self._prepare(("the image", cast(ImageSource, images)))])
        else:
            named = ((f"image {number}", image) for number, image in enumerate(cast(Images, images)))
            prepared = _ahead(self._prepare, named, batch_size)
        batches = iter(lambda: list(islice(prepared, batch_size)), [])
        return (answer for batch in batches for answer in self._answers(batch, coverage, on_error))

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
        from skinvision_hf.explain.explanation import View, check_choice, explain_heat

        method = method or CAM_METHOD
        if max_side is not None and max_side < 1:
            raise ModelError(f"max_side is {max_side}; give at least 1")
        check_choice(target, method)
        picture = open_image(image)
        outputs = self.runtime.compute([cast(Any, self.runtime.prepare(picture))])
        (prediction,) = self._predictions(outputs, COVERAGE)
        target = target or prediction.label
        heat = self._heat(outputs, CODES.index(target), method)
        view = View(self.runtime.view(picture.size), self.runtime.cell_centres)
        return explain_heat(heat, picture, prediction, view, target=target, method=method, max_side=max_side)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the release, unchanged, to a folder.

        Returns:
            The folder.

        Raises:
            ModelError: If the network's weights are no longer those of the release.
        """
        self._assert_unchanged()
        return copy_release(self.release, Path(folder))

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

    def _prepare(self, named: tuple[str, ImageSource]) -> Any:
        """What the runtime computes from, or what is wrong with the image."""
        name, image = named
        try:
            return self.runtime.prepare(open_image(image, name=name))
        except ImageError as error:
            return error

    def _answers(self, batch: list[Any], coverage: float, on_error: str) -> Iterator[Prediction | ImageError]:
        """Answers to what `_prepare` made of images."""
        usable = [pixels for pixels in batch if not isinstance(pixels, ImageError)]
        predictions = iter(self._predictions(self.runtime.compute(usable), coverage) if usable else ())
        for item in batch:
            if isinstance(item, ImageError) and on_error == "raise":
                raise item
            yield item if isinstance(item, ImageError) else next(predictions)

    def _predictions(self, outputs: NetworkOutputs, coverage: float) -> list[Prediction]:
        """The answers that follow from what the network computed for n images."""
        logits = outputs.logits.astype(np.float64)
        if not np.isfinite(logits).all():
            raise ModelError(f"the network of {self.release} gives no finite answer; download the release again")
        probabilities = softmax(logits)
        found: dict[str, list[Any]] = {}
        if self.conformal:
            found["in_set"] = self.conformal.prediction_sets(probabilities, coverage).tolist()
        if self.detector:
            scores = found["in_distribution_score"] = self.detector.score(outputs.features).tolist()
            kept = found["in_distribution"] = [score >= self.detector.refused for score in scores]
            if (level := self.detector.unusual) is not None:
                found["unusual"] = [inside and score < level for inside, score in zip(kept, scores, strict=True)]
        return [
            Prediction.from_probabilities(
                row,
                operating_point=self.operating_point,
                coverage=coverage,
                **{name: values[n] for name, values in found.items()},
            )
            for n, row in enumerate(probabilities.tolist())
        ]

    def _heat(self, outputs: NetworkOutputs, target: int, method: str) -> np.ndarray:
        """The heat map (h, w) of one image for a diagnosis."""
        if is_torch(self.runtime):
            from skinvision_hf.explain.cam import heat_maps

            with extras():
                return heat_maps(self.runtime.model.timm_model, outputs.maps, [target], method)[0]
        from skinvision_hf.explain.placement import stretch

        if method not in ONNX_METHODS:
            raise ModelError(f"ONNX Runtime cannot compute {method}; load the release with runtime='torch'")
        return stretch(outputs.maps[:, target])[0]

    def _assert_unchanged(self) -> None:
        """The metrics of a release do not hold for weights that were changed in memory."""
        if not is_torch(self.runtime):
            return
        stored = type(self.model).from_pretrained(self.release).state_dict()
        if any(not value.cpu().equal(stored[key]) for key, value in self.model.state_dict().items()):
            raise ModelError(
                "the weights were changed since they were loaded; save them with .model.save_pretrained(folder) "
                "and measure them with 'skinvision evaluate'"
            )


def _ahead(function: Callable[[Any], Any], named: Iterable[tuple[str, Any]], ahead: int) -> Iterator[Any]:
    """Apply a function to named images in threads, at most so many images ahead of the one that is yielded.

    Objects that have a position in a file are not safe in threads; it is applied to them at once.
    """
    with ThreadPoolExecutor(CORES) as pool:
        pending: deque[Future[Any]] = deque()
        for item in named:
            if isinstance(item[1], (str, os.PathLike, bytes, np.ndarray)):
                pending.append(pool.submit(function, item))
            else:
                pending.append(Future())
                pending[-1].set_result(function(item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
