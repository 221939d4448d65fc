"""What is known about the heat maps of a network, and which method of drawing them validation favours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.evaluation.bootstrap import Estimate
from skinvision_hf.explain.collecting import NO_NETWORK, TRAINED, Kind, control
from skinvision_hf.explain.controls import CENTRE, NOISE, RANDOMISATIONS
from skinvision_hf.explain.faithfulness import KEPT_PERCENTAGES
from skinvision_hf.explain.localisation import CRITERIA, MEASURES, Localisation

__all__ = ["CLASS_BLIND", "ROAD", "TITLES", "ExplanationReport", "PartScores", "favourite", "mean_ranks"]

CLASS_BLIND = ("eigencam",)
"""Methods whose map is the same for every diagnosis, and so no answer to why it is this one."""

ROAD, ALIKE = "road", "rank_correlation"
TITLES = {
    "pointing_game": "Pointing game",
    "energy_inside": "Energy inside",
    "iou": "IoU",
    "inside_outside_ratio": "Inside/outside ratio",
    ROAD: "ROAD",
}
IN_WORDS = {"pointing_game": "the pointing game", "energy_inside": "energy inside", "iou": "IoU", ROAD: "ROAD"}
RULE = (
    "The heat map of the predicted diagnosis, on every image whose mask has an inside and an outside; each cell lies "
    "in the middle of what it sees, while 'stretched' maps share the image evenly, as is usual elsewhere. The IoU "
    "threshold of each kind of map is the best one on validation. Random networks are explained for the trained "
    "network's answer, and the one that is random in all layers takes its batch statistics from training images. "
    "Validation favours the method with the best mean of six ranks: by pointing game, energy inside, IoU, ROAD, and by "
    "how little its maps correlate with those of a network whose classifier, and of one whose every layer, is random. "
    "Values that agree to four decimals share the better rank, and of methods with equal means the first in the order "
    f"{', '.join(CAM_METHODS)} counts. {', '.join(CLASS_BLIND)} is left out of the choice, since its map is the same "
    "for every diagnosis."
)


@dataclass(frozen=True)
class PartScores:
    """How good heat maps are on one part of a split.

    Attributes:
        images: Images that were scored: those whose mask has an inside and an outside.
        lesions: Their lesions.
        left_out: Other images.
        lesion_area: Share of an image that the lesion fills, which is the energy that a map without contrast has
            inside, and how often a random pixel wins the pointing game.
        localisation: How well the lesion is found, by kind of map.
        similarity: Rank correlation of the maps of random networks with those of the trained one, by kind.
        road: Faithfulness, on images drawn by lot, by method and control; see `skinvision_hf.explain.faithfulness`.
        road_over_centre: How much larger that is than the centre prior's on the same images.
    """

    images: int
    lesions: int
    left_out: int
    lesion_area: Estimate
    localisation: Mapping[Kind, Localisation]
    similarity: Mapping[Kind, Estimate]
    road: Mapping[str, Estimate]
    road_over_centre: Mapping[str, Estimate]

    def to_dict(self, *, groups: bool = True) -> dict[str, Any]:
        """Return the attributes as a dictionary that JSON can hold.

        Args:
            groups: Whether the numbers by diagnosis and outcome are among them.
        """
        maps = []
        for kind, entry in self.localisation.items():
            content = entry.to_dict(groups=groups)
            content[ROAD], content[ALIKE] = _plain(self.faithfulness(kind)), _plain(self.similarity.get(kind))
            if content[ROAD]:
                content["over_centre"][ROAD] = self.road_over_centre[kind.map].to_dict()
            maps.append(content)
        return {
            "images": self.images,
            "lesions": self.lesions,
            "left_out": self.left_out,
            "lesion_area": self.lesion_area.to_dict(),
            "maps": maps,
        }

    def over_centre(self, method: str) -> dict[str, Estimate]:
        """How much larger each criterion, and ROAD, is for a method than for the centre prior on the same images."""
        return {**self.localisation[Kind(method)].over_centre, ROAD: self.road_over_centre[method]}

    def faithfulness(self, kind: Kind) -> Estimate | None:
        """ROAD of a kind of map; None where it was not measured."""
        return self.road[kind.map] if kind.network in (TRAINED, NO_NETWORK) else None


@dataclass(frozen=True)
class ExplanationReport:
    """How good heat maps are. Every number has n and a 95 % bootstrap interval over lesions.

    Attributes:
        split: Name of the split.
        validation: What the method and the thresholds are chosen by.
        test: What is reported.
        ranks: Mean rank of each method on validation; see `mean_ranks`.
        favourite: The method that validation favours.
    """

    split_scheme: str
    validation: PartScores
    test: PartScores
    ranks: Mapping[str, float]
    favourite: str

    @property
    def summary(self) -> str:
        """The finding in one paragraph of plain English."""
        test, kinds = self.test, (Kind(self.favourite), control(CENTRE), control(NOISE))
        ours, centre, noise = (test.localisation[kind].overall for kind in kinds)
        alike = test.similarity[Kind(self.favourite, RANDOMISATIONS[-1])]
        road, blob, chance = (test.road[name] for name in (self.favourite, CENTRE, NOISE))
        return (
            "A heat map should lie where the evidence is, and should change when the network forgets what it knows. "
            f"Over {test.images:,} test images of {test.lesions:,} lesions with a drawn outline, the hottest point of "
            f"the {self.favourite} map is on the lesion in {ours['pointing_game'].percent()} of them. Photographers "
            f"centre what they photograph, so a blob in the middle of every image gets "
            f"{centre['pointing_game'].percent()}, and noise {noise['pointing_game'].percent()}. The lesion fills "
            f"{test.lesion_area.percent()} of an image and holds {ours['energy_inside'].percent()} of the heat, "
            f"against {centre['energy_inside'].percent()} for the blob. With random weights in place of the trained "
            f"ones, maps correlate {alike} with the real ones; 1 would mean that they do not depend on what was "
            "learned. How much more probability goes with the hot pixels than with the cold ones is "
            f"{road} (ROAD, n = {road.n}), against {blob} for the blob and {chance} for noise. "
            f"{_verdict(test.over_centre(self.favourite))} "
            "A heat map explains the network, not the skin, and does not tell whether the answer is right."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the section `explanations` of metrics.json."""
        return {
            "summary": self.summary,
            "rule": RULE,
            "split": self.split_scheme,
            "favourite": self.favourite,
            "mean_ranks_on_validation": dict(self.ranks),
            "kept_percentages_of_road": list(KEPT_PERCENTAGES),
            "validation": self.validation.to_dict(groups=False),
            "test": self.test.to_dict(),
        }

    def __str__(self) -> str:
        """Two Markdown tables: the choice of a method on validation, and all maps on test."""
        test, random = self.test, RANDOMISATIONS
        columns = [*(TITLES[name] for name in CRITERIA), TITLES[ROAD], *(f"random {name}" for name in random)]
        lines = [
            f"{self.split_scheme}, validation: the choice of a method; random: rank correlation with a random network's map",
            "",
            f"| map | {' | '.join(columns)} | mean rank |",
            f"| --- |{' --- |' * len(columns)} --- |",
        ]
        for method in CAM_METHODS:
            rank = f"{self.ranks[method]:.2f}" if method in self.ranks else "none: the same for every diagnosis"
            lines.append(f"| {method} | {' | '.join(map(str, _criteria(self.validation, method)))} | {rank} |")
        lines += [
            "",
            f"{self.split_scheme}, test: {test.images} images of {test.lesions} lesions; 95 % intervals over lesions",
            "",
            f"| map | weights | {' | '.join(TITLES.values())} | rank correlation |",
            f"| --- | --- |{' --- |' * len(TITLES)} --- |",
        ]
        for kind, entry in test.localisation.items():
            cells = " | ".join(str(entry.overall[name]) for name in MEASURES)
            weights = f"random: {kind.network}" if kind in test.similarity else kind.network
            last = (test.faithfulness(kind) or "", test.similarity.get(kind, ""))
            lines.append(f"| {kind.map} | {weights} | {cells} | {last[0]} | {last[1]} |")
        return "\n".join(lines)


def mean_ranks(validation: PartScores) -> dict[str, float]:
    """Rank the methods that tell diagnoses apart by six criteria, and average the ranks.

    Three criteria ask whether a map lies on the lesion (`CRITERIA`), and three whether it is about the network: its
    faithfulness, and how little it resembles the maps of networks that are random in the classifier or in all layers.

    Args:
        validation: Scores on the validation part.

    Returns:
        Mean ranks by method; 1 is the best.
    """
    methods = [method for method in CAM_METHODS if method not in CLASS_BLIND]
    # Grad-CAM and HiResCAM are the same map here, up to the last bits; those must not decide.
    table = np.array([[round(e.value or 0.0, 4) for e in _criteria(validation, method)] for method in methods])
    table[:, -len(RANDOMISATIONS) :] *= -1
    ranks = rankdata(-table, method="min", axis=0).mean(axis=1)
    return dict(zip(methods, ranks.tolist(), strict=True))


def favourite(ranks: Mapping[str, float]) -> str:
    """The method with the best mean rank; among equals the first of `CAM_METHODS`."""
    return min(ranks, key=ranks.__getitem__)


def _verdict(over_centre: Mapping[str, Estimate]) -> str:
    """Say in which criteria a method beats the blob in the centre, loses to it, or neither; 95 % intervals decide."""
    groups: dict[str, list[str]] = {"beats it": [], "loses to it": [], "shows no difference that is sure": []}
    better, worse, unsure = groups.values()
    for name, difference in over_centre.items():
        low, high = difference.low, difference.high
        sure = low is not None and high is not None and not low <= 0 <= high
        (unsure if not sure else better if (difference.value or 0) > 0 else worse).append(IN_WORDS[name])
    found = [f"{verb} in {', '.join(names)}" for verb, names in groups.items() if names]
    return f"Beside the blob, which looks at no image, the map {'; '.join(found)}."


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()


def _criteria(split: PartScores, method: str) -> list[Estimate]:
    """What `mean_ranks` ranks by; of the last ones, small values are good."""
    overall = split.localisation[Kind(method)].overall
    alike = [split.similarity[Kind(method, name)] for name in RANDOMISATIONS]
    return [*(overall[name] for name in CRITERIA), split.road[method], *alike]
