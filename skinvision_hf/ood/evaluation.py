"""What a guard lets through: other pictures, changed real images, and pictures of which no one can be sure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm

from skinvision_hf.data.images import to_rgb
from skinvision_hf.evaluation.bootstrap import Estimate, Mean, bootstrap, lesion_weights
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.ood.features import images_of, pooled_features
from skinvision_hf.ood.fitting import Separation, measure_separation
from skinvision_hf.ood.inputs import AMBIGUOUS, FAR, Drawing, far_images
from skinvision_hf.ood.photographs import photographs_used
from skinvision_hf.ood.shifts import SEVERITIES, SHIFTS, shift_image
from skinvision_hf.ood.typicality import FeatureGuard

__all__ = ["GuardReport", "ShiftedAccuracy", "evaluate_guard", "measure_acceptance"]

FAR_COUNT = 100
SHIFTED_COUNT = 200
ALL_FAR = "all"
GOAL = 0.99
"""Smallest AUROC that counts as telling other pictures from lesions."""


@dataclass(frozen=True)
class ShiftedAccuracy:
    """Real images after one change at one severity.

    Attributes:
        shift: A key of `SHIFTS`, or `none`.
        severity: 1 to 5, or 0 for the images as they are.
        accuracy: Share that is classified correctly.
        accepted: Share that the guard takes for typical.
        accuracy_of_accepted: Share that is classified correctly among those.
    """

    shift: str
    severity: int
    accuracy: Estimate
    accepted: Estimate
    accuracy_of_accepted: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as a dictionary that JSON can hold."""
        return {
            "shift": self.shift,
            "severity": self.severity,
            "accuracy": self.accuracy.to_dict(),
            "accepted": self.accepted.to_dict(),
            "accuracy_of_accepted": self.accuracy_of_accepted.to_dict(),
        }


@dataclass(frozen=True)
class GuardReport:
    """A guard on photographs and other pictures that it has never seen.

    Attributes:
        method: The detector that was chosen.
        comparison: How each detector did on validation images, against other pictures than those below.
        photographs: The files of which the photographs and graphics are shown or cut, and the packages that ship them.
        kept: Share of test images that the guard takes for typical; it was set to keep 95 % of validation images of
            which every second one had hairs or a ruler drawn on it.
        far: Separation of test images from each kind of other picture, and from `all` together.
        far_accepted: Share of each kind that the guard nevertheless takes for typical.
        ambiguous_accepted: The same for pictures of which no one can say what is right.
        shifted: Accuracy and acceptance of changed test images; the first entry is the images as they are. Hairs and
            ruler marks of severities 1 to 3 are no news to the guard, which was fitted on images with such drawings.
    """

    method: str
    comparison: dict[str, Separation]
    photographs: dict[str, Any]
    kept: Estimate
    far: dict[str, Separation]
    far_accepted: dict[str, Estimate]
    ambiguous_accepted: dict[str, Estimate]
    shifted: tuple[ShiftedAccuracy, ...]

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        photographs = self.far["photographs"]
        far, accepted = self.far[ALL_FAR], self.far_accepted[ALL_FAR]
        ambiguous = " and ".join(f"{e.percent()} of {kind}" for kind, e in self.ambiguous_accepted.items())
        plain, hardest = self.shifted[0], min(self.shifted[1:], key=lambda s: s.accuracy.value or 0)
        return (
            "A classifier must name one of its seven diagnoses even for a cat, so a guard first asks whether a picture "
            f"looks like those the model learned from. It lets {self.kept.percent()} of unseen real images pass, and "
            f"{accepted.percent()} of {accepted.n} other pictures, such as photographs, documents and noise (AUROC "
            f"{far.auroc}, {_verdict(far)}). On real photographs alone the AUROC is {photographs.auroc}, "
            f"{_verdict(photographs)}: there are {self.photographs['files']} of them, shown whole and in parts. "
            f"{self._worst()}Photographs of skin without a dermatoscope are not among them, so nothing here says how "
            "many of those pass. Nobody can say what is right for "
            f"a spot drawn on skin; it lets {ambiguous} pass. It was fitted on images of which every second one had "
            "hairs or a ruler drawn on it, so those alone are no reason to reject. It is no quality check: of real "
            f"images {plain.accuracy.percent()} are classified correctly; changed by {hardest.shift} at severity "
            f"{hardest.severity} of 5, {hardest.accuracy.percent()} are, and {hardest.accepted.percent()} pass. "
            f"{self._refused()}"
        ).rstrip()

    def _refused(self) -> str:
        """The change after which more images are answered rightly than pass, if there is one."""
        most = max(self.shifted[1:], key=lambda s: (s.accuracy.value or 0) - (s.accepted.value or 0))
        if (most.accuracy.value or 0) <= (most.accepted.value or 0):
            return ""
        return (
            f"Changed by {most.shift} at severity {most.severity}, {most.accuracy.percent()} are, and "
            f"{most.accepted.percent()} pass: an image that it rejects may well be answered rightly."
        )

    def _worst(self) -> str:
        """The kind of picture that passes most, if one does."""
        kinds = {kind: e for kind, e in self.far_accepted.items() if kind != ALL_FAR}
        worst = max(kinds, key=lambda kind: kinds[kind].value or 0)
        return f"It errs most on {worst}, of which {kinds[worst].percent()} pass. " if kinds[worst].value else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the section `guard` of metrics.json."""
        return {
            "summary": self.summary,
            "method": self.method,
            "comparison": {name: separation.to_dict() for name, separation in self.comparison.items()},
            "photographs": self.photographs,
            "kept": self.kept.to_dict(),
            "far": {
                kind: {**separation.to_dict(), "accepted": self.far_accepted[kind].to_dict()}
                for kind, separation in self.far.items()
            },
            "ambiguous_accepted": {kind: estimate.to_dict() for kind, estimate in self.ambiguous_accepted.items()},
            "shifted": [entry.to_dict() for entry in self.shifted],
        }


def evaluate_guard(
    model: SkinVisionForImageClassification,
    guard: FeatureGuard,
    test: Dataset,
    comparison: Mapping[str, Separation],
    *,
    far_count: int = FAR_COUNT,
    shifted_count: int = SHIFTED_COUNT,
) -> GuardReport:
    """Test a guard, and the network on changed images.

    Args:
        model: The network.
        guard: Fitted for it.
        test: The test split.
        comparison: From `skinvision_hf.ood.fitting.fit_guard`.
        far_count: Other pictures of each kind, but no more than test images.
        shifted_count: Test images that are changed, drawn at random; each is classified 41 times.
    """
    features, _ = pooled_features(model, images_of(test), stage=guard.stage, total=len(test), name="guard: test images")
    scores, weights = guard.detector.score(features).numpy(), lesion_weights(test["lesion_id"])
    far_count = min(far_count, len(test))
    far, far_accepted = {}, {}
    for kind, (other, sources, accepted) in _far_scores(model, guard, FAR, far_count).items():
        far[kind] = measure_separation(scores, other, sources, weights)
        far_accepted[kind] = bootstrap(Mean(accepted), lesion_weights(sources))
    ambiguous = _far_scores(model, guard, AMBIGUOUS, far_count)
    ambiguous.pop(ALL_FAR)
    return GuardReport(
        method=guard.name,
        comparison=dict(comparison),
        photographs=photographs_used(),
        kept=bootstrap(Mean((guard.score(features) >= guard.threshold).numpy()), weights),
        far=far,
        far_accepted=far_accepted,
        ambiguous_accepted={
            kind: bootstrap(Mean(accepted), lesion_weights(sources))
            for kind, (_, sources, accepted) in ambiguous.items()
        },
        shifted=tuple(_shifted(model, guard, test, shifted_count)),
    )


def measure_acceptance(model: SkinVisionForImageClassification, guard: FeatureGuard, dataset: Dataset) -> Estimate:
    """Measure the share of a data set's images that a guard takes for typical."""
    features, _ = pooled_features(
        model, images_of(dataset), stage=guard.stage, total=len(dataset), name="guard: evaluated images"
    )
    accepted = (guard.score(features) >= guard.threshold).numpy()
    return bootstrap(Mean(accepted), lesion_weights(dataset["lesion_id"]))


def _far_scores(
    model: SkinVisionForImageClassification, guard: FeatureGuard, kinds: dict[str, Drawing], count: int
) -> dict[str, tuple[np.ndarray, list[str], np.ndarray]]:
    """Scores, sources and acceptance of each kind of picture, and of all of them together."""
    pictures = list(far_images(kinds, count=count))
    features, _ = pooled_features(
        model, (p.image for p in pictures), stage=guard.stage, total=len(pictures), name="guard: other pictures"
    )
    scores, accepted = guard.detector.score(features).numpy(), (guard.score(features) >= guard.threshold).numpy()
    names, sources = np.array([p.kind for p in pictures]), np.array([p.source for p in pictures])
    rows = {kind: names == kind for kind in dict.fromkeys(names.tolist())} | {ALL_FAR: np.ones(len(names), dtype=bool)}
    return {kind: (scores[row], sources[row].tolist(), accepted[row]) for kind, row in rows.items()}


def _shifted(
    model: SkinVisionForImageClassification, guard: FeatureGuard, test: Dataset, count: int
) -> Iterable[ShiftedAccuracy]:
    sample = test.shuffle(seed=0).select(range(min(count, len(test))))
    images = [to_rgb(image) for image in images_of(sample)]
    labels, weights = torch.tensor(sample["label"]), lesion_weights(sample["lesion_id"])
    cases = [("none", 0), *((shift, severity) for shift in SHIFTS for severity in SEVERITIES)]
    for shift, severity in tqdm(cases, desc="guard: changed images", unit="change", leave=False):
        changed = images if not severity else (shift_image(i, shift, severity, seed=n) for n, i in enumerate(images))
        features, logits = pooled_features(
            model, changed, stage=guard.stage, total=len(images), name=f"{shift} {severity}"
        )
        correct = (logits.argmax(dim=1) == labels).numpy()
        accepted = (guard.score(features) >= guard.threshold).numpy()
        yield ShiftedAccuracy(
            shift,
            severity,
            accuracy=bootstrap(Mean(correct), weights),
            accepted=bootstrap(Mean(accepted), weights),
            accuracy_of_accepted=bootstrap(Mean(correct[accepted]), weights[:, accepted]),
        )


def _verdict(separation: Separation) -> str:
    return f"{'within' if (separation.auroc.value or 0) >= GOAL else 'short of'} the goal of {GOAL}"
