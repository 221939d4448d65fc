"""How good heat maps are: known maps have known scores, baselines are what they say, and a whole run on drawn masks."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import Captured, run
from complete_release import metrics
from datasets import Dataset, Image
from drawing import assert_not_blank, draw_lesion
from PIL import Image as PILImage
from scipy.stats import spearmanr
from torch import Tensor, nn

from skinvision_hf.config import CAM_METHODS
from skinvision_hf.data import load_ham10000
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.explain.explanation_evaluation import evaluate_explanations, randomise, summarise
from skinvision_hf.explain.explanation_report import (
    CENTRE,
    NO_NETWORK,
    NOISE,
    RANDOMISATIONS,
    TRAINED,
    ExplanationReport,
)
from skinvision_hf.explain.faithfulness import road_scores
from skinvision_hf.explain.localisation import (
    BASELINES,
    Kind,
    ScoredMaps,
    _hottest_in_corner,
    rank_correlation,
    score_dataset,
    score_map,
)
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification as Network

# pytorch-grad-cam's ROAD calls NumPy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

SOURCE = "synthetic[:210]"
COUNT = 12
Measured = tuple[ExplanationReport, ScoredMaps]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_ham10000(SOURCE, masks=True)["test"].shuffle(seed=1).select(range(COUNT))


@pytest.fixture(scope="module")
def measured(tiny_release: Path, dataset: Dataset) -> Measured:
    model = Network.from_pretrained(tiny_release)
    return evaluate_explanations(model, dataset, split_scheme="drawn", split="test", road_images=3)


def replace_masks(dataset: Dataset, masks: dict[int, PILImage.Image]) -> Dataset:
    def encoded(row: int) -> bytes:
        buffer = io.BytesIO()
        masks.get(row, dataset[row]["mask"]).save(buffer, "PNG")
        return buffer.getvalue()

    column = [encoded(row) for row in range(len(dataset))]
    return dataset.remove_columns("mask").add_column("mask", column).cast_column("mask", Image())


def test_known_maps_have_known_scores() -> None:
    lesion = np.zeros((50, 60), bool)
    lesion[10:30, 20:50] = True
    half = np.zeros((50, 60))
    half[10:20, 20:50] = half[35:45, 20:50] = 1
    assert score_map(lesion.astype(np.float32), lesion) == (True, 1.0)
    assert score_map((~lesion).astype(np.float32), lesion) == (False, 0.0)
    assert score_map(np.full((50, 60), 0.5), lesion)[1] == pytest.approx(lesion.mean())
    assert score_map(half, lesion)[1] == pytest.approx(0.5)
    assert score_map(np.zeros((50, 60)), lesion) == (False, 0.0), "an empty map points nowhere"
    maps = np.zeros((7, 3, 4), np.float32)
    for number, cell in enumerate([(0, 0), (0, 3), (2, 0), (2, 3), (0, 1), (1, 3)]):
        maps[number][cell] = 1
    assert _hottest_in_corner(maps).tolist() == [True] * 4 + [False] * 3, "four corners, others and an empty map"


def test_the_rank_correlation_is_scipys_and_none_where_a_map_has_no_contrast() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((4, 5, 5)), generator.random((4, 5, 5)).round(1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)
    np.testing.assert_allclose(rank_correlation(first, -first), -1)
    assert rank_correlation(first, np.zeros_like(first)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("what", RANDOMISATIONS)
def test_a_randomised_network_has_new_weights_where_it_should_and_the_original_keeps_its_own(
    model: Network, what: str
) -> None:
    transform = eval_transform(model.config.pretrained_cfg)
    pixels = torch.stack([transform(draw_lesion(seed)) for seed in range(6)])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(7)
    random = randomise(model, what, pixels, seed=1)
    assert torch.equal(torch.rand(3), torch.manual_seed(7) and torch.rand(3)), "the caller's seed is not used up"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not random.training
    weights = [name for name, value in before.items() if value.ndim > 1]
    changed = {name for name in weights if not torch.equal(random.state_dict()[name], before[name])}
    assert changed == ({"timm_model.classifier.weight"} if what == "classifier" else set(weights))
    again = randomise(model, what, pixels, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in random.state_dict().items())
    with torch.no_grad():
        features = random.timm_model.forward_features(pixels)
    assert features.std(dim=(2, 3)).max() > 1e-3, "a dead signal would make any method pass"


class BrightSquare(nn.Module):
    """A network that sees one thing: how bright a square in the middle is."""

    def forward(self, pixels: Tensor) -> Tensor:
        light = pixels[..., 8:16, 8:16].mean(dim=(1, 2, 3))
        return torch.stack([light, -light], dim=1) * 3


@pytest.fixture
def square() -> tuple[Tensor, np.ndarray]:
    """Two images with a bright square, which fills a ninth of them, and a perfect map of it."""
    pixels = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 0.1
    pixels[..., 8:16, 8:16] += 1
    heat = np.zeros((2, 24, 24), np.float32)
    heat[:, 8:16, 8:16] = 1
    return pixels, heat


def test_a_map_of_what_the_network_sees_is_faithful_and_its_inverse_is_not(square: tuple[Tensor, np.ndarray]) -> None:
    pixels, heat = square
    right, wrong = (road_scores(BrightSquare(), pixels, maps, [0, 0]) for maps in (heat, 1 - heat))
    assert (right > 0.1).all() and (wrong < -0.1).all()
    np.testing.assert_allclose(road_scores(BrightSquare(), pixels, heat, [1, 1]), -right, atol=0.02)
    random = np.random.default_rng(0).random((16, 24, 24))
    assert abs(road_scores(BrightSquare(), pixels.repeat(8, 1, 1, 1), random, [0] * 16).mean()) < 0.05


def test_faithfulness_can_be_repeated_and_uses_up_no_seed(square: tuple[Tensor, np.ndarray]) -> None:
    pixels, heat = square
    torch.manual_seed(5)
    first = road_scores(BrightSquare(), pixels, heat, [0, 0])
    assert torch.equal(torch.rand(2), torch.manual_seed(5) and torch.rand(2))
    assert np.array_equal(first, road_scores(BrightSquare(), pixels, heat, [0, 0]))
    assert not np.array_equal(first, road_scores(BrightSquare(), pixels, heat, [0, 0], seed=3))


def test_every_kind_of_map_is_scored_once_for_the_diagnosis_that_the_network_predicts(
    model: Network, dataset: Dataset
) -> None:
    scored = score_dataset(model, dataset, others={"twin": model})
    kinds = [Kind(method, network) for network in (TRAINED, "twin") for method in CAM_METHODS]
    assert scored.kinds == (*kinds, *BASELINES)
    assert scored.rows.tolist() == list(range(COUNT))
    assert scored.labels.tolist() == dataset["label"][:]
    assert scored.lesion_ids == tuple(dataset["lesion_id"][:])
    assert scored.energy.shape == scored.pointing.shape == (len(scored.kinds), COUNT)
    assert scored.corner.shape == scored.similarity.shape == (len(kinds), COUNT)
    np.testing.assert_allclose(scored.similarity, 1, atol=1e-6)
    np.testing.assert_allclose(scored.energy[: len(CAM_METHODS)], scored.energy[len(CAM_METHODS) : -2], atol=1e-4)
    assert scored.pointing[scored.kinds.index(BASELINES[0])].all(), "drawn lesions lie in the middle"


def test_images_whose_mask_says_nothing_are_left_out(model: Network, dataset: Dataset) -> None:
    masks = {2: PILImage.new("L", (200, 150), 0), 5: PILImage.new("L", (200, 150), 255)}
    changed = replace_masks(dataset, masks)
    scored, everything = (score_dataset(model, data) for data in (changed, dataset))
    assert scored.rows.tolist() == [row for row in range(COUNT) if row not in masks]
    np.testing.assert_allclose(scored.energy[0], everything.energy[0][scored.rows], atol=1e-5)
    with pytest.raises(DataError, match="no image has a mask with a lesion"):
        score_dataset(model, changed.select([2, 5]))
    with pytest.raises(DataError, match="have no masks; use HAM10000 with its folder"):
        score_dataset(model, dataset.remove_columns("mask"))


def test_a_mask_of_another_size_is_the_same_outline(model: Network, dataset: Dataset) -> None:
    large = {row: dataset[row]["mask"].resize((400, 300), PILImage.Resampling.NEAREST) for row in range(COUNT)}
    first, second = (score_dataset(model, data) for data in (dataset, replace_masks(dataset, large)))
    np.testing.assert_allclose(first.energy[:-1], second.energy[:-1], atol=0.01)


def test_estimates_of_known_scores_are_known_numbers() -> None:
    pointing = np.array([[True, True, True, False], [False, False, False, True], [False] * 4])
    scored = ScoredMaps(
        kinds=(Kind("gradcam"), BASELINES[0], BASELINES[1]),
        pointing=pointing,
        energy=pointing * 1.0,
        corner=np.array([[False, False, True, False]]),
        similarity=np.ones((1, 4)),
        area=np.full(4, 0.5),
        labels=np.array([0, 1, 0, 1]),
        predicted=np.zeros(4, int),
        lesion_ids=("a", "a", "b", "b"),
        rows=np.arange(4),
    )
    road = {name: np.array([value, value + 0.1]) for name, value in (("gradcam", 0.2), (CENTRE, 0.1), (NOISE, 0.0))}
    report = summarise(scored, road, road_lesions=["a", "b"], split_scheme="drawn", split="test")
    ours = report.find("gradcam")
    assert (ours.pointing_game.value, ours.pointing_game.low, ours.pointing_game.high) == (0.75, 0.5, 1.0)
    assert ours.corner.value == 0.25
    assert ours.over_centre["energy_inside"].value == pytest.approx(0.5)
    assert ours.over_centre["road"].value == pytest.approx(0.1) and ours.over_centre["road"].n == 2
    assert ours.per_class[CODES[0]]["pointing_game"].value == 1 and ours.per_class[CODES[0]]["corner"].value == 0.5
    assert ours.per_class[CODES[1]]["energy_inside"].value == 0.5 and ours.per_class[CODES[1]]["energy_inside"].n == 2
    assert ours.per_class[CODES[6]]["pointing_game"].value is None
    assert ours.by_outcome["correct"]["pointing_game"].value == 1
    assert report.find(CENTRE, NO_NETWORK).corner is None


def test_the_report_holds_every_number_and_survives_json(measured: Measured) -> None:
    report, _ = measured
    assert report.images == COUNT and 0 < (report.lesion_area.value or 0) < 0.5
    assert len(report.maps) == len(CAM_METHODS) * 3 + 2
    assert all(entry.energy_inside.n == COUNT and entry.energy_inside.value is not None for entry in report.maps)
    assert report.find("eigencam", "classifier").rank_correlation.value == pytest.approx(1), "it sees no classifier"
    assert report.find("gradcam").road == report.find("hirescam").road and report.find("gradcam").road.n == 3
    assert report.find("gradcam", "all").road is None and report.find(NOISE, NO_NETWORK).road is not None
    assert ExplanationReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    assert str(report).count("\n| gradcam |") == 3 and "nan" not in str(report).lower()


def test_the_network_is_handed_back_as_it_was_found(model: Network, dataset: Dataset, measured: Measured) -> None:
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        report, scored = evaluate_explanations(
            model, dataset, split_scheme="drawn", split="test", limit=5, road_images=1, seed=3
        )
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())
    assert report.images == 5
    assert scored.labels.tolist() == [dataset[int(row)]["label"] for row in scored.rows], "rows are those of the data"
    np.testing.assert_allclose(scored.energy[0], measured[1].energy[0][scored.rows], atol=1e-4)


@pytest.mark.slow
def test_the_command_adds_its_section_to_a_release_and_draws_figures_and_panels(
    release: Path, capsys: Captured
) -> None:
    (release / "README.md").write_text("an older card")
    options = ["--limit", str(COUNT), "--road_images", "1", "--seed", "1"]
    assert run("explain-model", "--model", release, "--data", SOURCE, "--output_dir", release, *options) == 0
    content = json.loads((release / "metrics.json").read_text(encoding="utf-8"))
    assert {name: content[name] for name in metrics()} == metrics()
    assert content["explanations"]["split_scheme"].endswith("ham10000-v1")
    assert content["explanations"]["images"] == COUNT
    assert "| centre | none |" in capsys.readouterr().out
    assert str(release) not in (release / "metrics.json").read_text(encoding="utf-8")
    figures, panels = ({path.name for path in (release / name).iterdir()} for name in ("figures", "panels"))
    drawn = {"explanation_scores.png", "explanation_by_class.png", "explanation_randomisation.png"}
    assert drawn <= figures
    assert panels <= {f"{code}.png" for code in CODES} and len(panels) > 3
    assert_not_blank([*(release / "figures" / name for name in drawn), *(release / "panels").iterdir()])
    assert "Heat maps" in (release / "EVALUATION.md").read_text(encoding="utf-8")
    assert "panels" not in (release / "README.md").read_text(encoding="utf-8")
