"""From a network and masks to numbers, figures and panels: the whole way, on drawn lesions with drawn masks."""

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from complete_release import complete_release, metrics
from datasets import DatasetDict, Image
from PIL import Image as PILImage

from skinvision_hf.card import lint_card
from skinvision_hf.config import CAM_METHODS
from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.bootstrap import Estimate, lesion_weights
from skinvision_hf.explain.collecting import STRETCHED, TRAINED, Collected, Kind, collect_scores, control
from skinvision_hf.explain.controls import CENTRE, CONTROLS, NOISE, RANDOMISATIONS
from skinvision_hf.explain.evaluation import draw_parts, evaluate_explanations
from skinvision_hf.explain.localisation import CRITERIA, MEASURES, Localisation, best_level, summarise
from skinvision_hf.explain.report import RULE, ExplanationReport, PartScores, _verdict, favourite, mean_ranks
from skinvision_hf.explain.scores import LEVELS, LocalisationScores, score_maps
from skinvision_hf.labels import CODES
from skinvision_hf.models.modeling import SkinVisionForImageClassification

# pytorch-grad-cam's ROAD calls NumPy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "synthetic[:210]"
COUNT = 12


@pytest.fixture(scope="module")
def data() -> DatasetDict:
    return draw_parts(load_ham10000(SOURCE, masks=True), COUNT, seed=1)


@pytest.fixture
def model(tiny_release: Path) -> SkinVisionForImageClassification:
    return SkinVisionForImageClassification.from_pretrained(tiny_release)


@pytest.fixture(scope="module")
def measured(tiny_release: Path, data: DatasetDict) -> tuple[ExplanationReport, Collected]:
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    return evaluate_explanations(model, data, split_scheme="drawn", road_images=3)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("explain_model", ROOT / "scripts" / "explain_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replace_masks(data: DatasetDict, masks: dict[int, PILImage.Image]) -> DatasetDict:
    def encoded(row: int) -> bytes:
        buffer = io.BytesIO()
        masks.get(row, data["test"][row]["mask"]).save(buffer, "PNG")
        return buffer.getvalue()

    test = data["test"].remove_columns("mask").add_column("mask", [encoded(row) for row in range(COUNT)])
    return DatasetDict({**data, "test": test.cast_column("mask", Image())})


def known_scores(maps: list[np.ndarray], lesions: list[np.ndarray]) -> Collected:
    """Two kinds of map, the centre prior among them, on images of two lesions a class."""
    n = len(maps)
    scores = [score_maps(np.stack([heat, heat[::-1]]), lesion) for heat, lesion in zip(maps, lesions, strict=True)]
    return Collected(
        kinds=(Kind("gradcam"), control(CENTRE)),
        scores=LocalisationScores.stack(scores),
        similarity={},
        labels=np.arange(n) % 2,
        predicted=np.zeros(n, int),
        lesion_ids=tuple(f"L{k // 2}" for k in range(n)),
        rows=np.arange(n),
    )


def test_every_kind_of_map_is_scored_once_for_the_diagnosis_that_the_network_predicts(
    model: SkinVisionForImageClassification, data: DatasetDict
) -> None:
    collected = collect_scores(model, data["test"], others={"twin": model})
    networks = (TRAINED, STRETCHED, "twin")
    assert set(collected.kinds) == {Kind(m, w) for m in CAM_METHODS for w in networks} | set(map(control, CONTROLS))
    assert collected.rows.tolist() == list(range(COUNT))
    assert collected.labels.tolist() == data["test"]["label"][:]
    assert collected.lesion_ids == tuple(data["test"]["lesion_id"][:])
    assert len(set(collected.predicted.tolist())) > 1
    for method in CAM_METHODS:
        np.testing.assert_allclose(collected.similarity[Kind(method, "twin")], 1, atol=1e-6)
        ours, twin = (collected.kinds.index(Kind(method, network)) for network in (TRAINED, "twin"))
        np.testing.assert_allclose(collected.scores.iou[ours], collected.scores.iou[twin], atol=1e-4)
    centre = collected.kinds.index(control(CENTRE))
    assert collected.scores.pointing[centre].all(), "drawn lesions lie in the middle"


def test_images_whose_mask_says_nothing_are_left_out(
    model: SkinVisionForImageClassification, data: DatasetDict
) -> None:
    masks = {2: PILImage.new("L", (200, 150), 0), 5: PILImage.new("L", (200, 150), 255)}
    changed = replace_masks(data, masks)["test"]
    collected = collect_scores(model, changed)
    assert collected.rows.tolist() == [row for row in range(COUNT) if row not in masks]
    assert collected.labels.tolist() == [changed[int(row)]["label"] for row in collected.rows]
    everything = collect_scores(model, data["test"])
    np.testing.assert_allclose(collected.scores.energy[0], everything.scores.energy[0][collected.rows], atol=1e-5)
    with pytest.raises(DataError, match="no image has a mask with a lesion"):
        collect_scores(model, changed.select([2, 5]))
    with pytest.raises(DataError, match="have no masks; use HAM10000 with its folder"):
        collect_scores(model, data["test"].remove_columns("mask"))


def test_a_mask_of_another_size_is_the_same_outline(model: SkinVisionForImageClassification, data: DatasetDict) -> None:
    large = {row: data["test"][row]["mask"].resize((400, 300), PILImage.Resampling.NEAREST) for row in range(COUNT)}
    first, second = (collect_scores(model, d["test"]) for d in (data, replace_masks(data, large)))
    np.testing.assert_allclose(first.scores.energy[:-1], second.scores.energy[:-1], atol=0.01)


def test_estimates_of_known_maps_are_known_numbers() -> None:
    lesion = np.zeros((20, 20), bool)
    lesion[:10] = True
    collected = known_scores([lesion.astype(np.float32)] * 3 + [(~lesion).astype(np.float32)], [lesion] * 4)
    weights = lesion_weights(collected.lesion_ids)
    result = summarise(collected, dict.fromkeys(collected.kinds, 9), weights)
    ours = result[Kind("gradcam")]
    for name in CRITERIA:
        assert ours.overall[name].value == pytest.approx(0.75)
        assert (ours.overall[name].low, ours.overall[name].high) == (pytest.approx(0.5), pytest.approx(1.0))
        assert ours.over_centre[name].value == pytest.approx(0.5), "0.75 against the 0.25 of the mirrored maps"
        assert ours.per_class[CODES[0]][name].value == 1
        assert ours.per_class[CODES[1]][name].value == 0.5
        assert ours.per_class[CODES[6]][name].value is None
        assert ours.by_outcome["correct"][name].value == 1
        assert ours.by_outcome["incorrect"][name].value == 0.5
    assert ours.overall["inside_outside_ratio"].value == pytest.approx(3)
    assert ours.per_class[CODES[0]]["inside_outside_ratio"].value is None
    assert ours.level == pytest.approx(0.5)
    assert ours.overall["iou"].n == 4


def test_the_best_level_is_where_the_overlap_is_largest() -> None:
    lesion = np.zeros((20, 20), bool)
    lesion[5:15, 5:15] = True
    heat = np.where(lesion, 0.62, 0.33).astype(np.float32)
    scores = score_maps(np.stack([heat, np.ones_like(heat)]), lesion)
    assert 0.33 < LEVELS[best_level(scores, 0)] <= 0.62
    assert best_level(scores, 1) == 0


def part_of(values: dict[str, tuple[float, ...]]) -> PartScores:
    """Scores with given pointing game, energy, IoU, ROAD and similarity to both random networks, by method."""
    some = {method: [Estimate(v, v, v, 9) for v in columns] for method, columns in values.items()}
    found = {
        Kind(method): Localisation(Kind(method), dict(zip(CRITERIA, columns, strict=False)), {}, {}, {}, 0.5, 0)
        for method, columns in some.items()
    }
    alike = {
        Kind(method, network): columns[4 + place]
        for method, columns in some.items()
        for place, network in enumerate(RANDOMISATIONS)
    }
    road = {method: columns[3] for method, columns in some.items()}
    return PartScores(9, 9, 0, Estimate(0.2, 0.2, 0.2, 9), found, alike, road, road)


def test_validation_favours_the_method_that_is_on_the_lesion_and_about_the_network() -> None:
    values = {
        "gradcam": (0.7, 0.5, 0.4, 0.10, 0.1, 0.1),
        "hirescam": (0.7000001, 0.5, 0.4, 0.10, 0.1, 0.1),
        "gradcam++": (0.8, 0.6, 0.5, 0.08, 0.9, 0.3),
        "layercam": (0.6, 0.4, 0.3, 0.02, 0.9, 0.4),
        "eigencam": (1.0, 1.0, 1.0, 0.50, 0.0, 0.0),
    }
    ranks = mean_ranks(part_of(values))
    assert set(ranks) == set(CAM_METHODS) - {"eigencam"}, "no diagnosis has an EigenCAM map of its own"
    assert ranks == {"gradcam": 1.5, "hirescam": 1.5, "gradcam++": 2.0, "layercam": pytest.approx(23 / 6)}
    assert favourite(ranks) == "gradcam", "the last bits do not decide between two that are the same"
    unfaithful = values | {m: (*values[m][:3], 0.01, 0.9, 0.9) for m in ("gradcam", "hirescam")}
    assert favourite(mean_ranks(part_of(unfaithful))) == "gradcam++"


def test_the_summary_says_where_a_blob_in_the_centre_wins_and_where_nothing_is_sure() -> None:
    differences = {
        "pointing_game": Estimate(-0.1, -0.12, -0.08, 9),
        "energy_inside": Estimate(0.2, 0.1, 0.3, 9),
        "iou": Estimate(0.1, -0.1, 0.3, 9),
        "road": Estimate(-0.1, -0.2, -0.01, 9),
    }
    assert _verdict(differences) == (
        "Beside the blob, which looks at no image, the map beats it in energy inside; loses to it in the pointing "
        "game, ROAD; shows no difference that is sure in IoU."
    )
    assert "beats it" not in _verdict({"iou": Estimate(None, None, None, 0)})


def test_the_rule_tells_how_the_favourite_is_chosen() -> None:
    for split in ("eigencam is left out", "six ranks", "share the better rank", ", ".join(CAM_METHODS)):
        assert split in RULE


def test_the_report_holds_every_number_with_n_and_an_interval(measured: tuple[ExplanationReport, Collected]) -> None:
    report, _ = measured
    assert (report.test.images, report.test.left_out) == (COUNT, 0)
    for split in (report.validation, report.test):
        for entry in split.localisation.values():
            for name in MEASURES:
                estimate = entry.overall[name]
                assert estimate.n == COUNT
                assert estimate.value is not None, (entry.kind, name)
                # Shares of all or none are the same in every resample.
                assert None not in (estimate.low, estimate.high) or estimate.value in (0, 1), (entry.kind, name)
        assert set(split.road) == {*CAM_METHODS, *CONTROLS}
        assert split.road[NOISE].n == 3
        assert split.road["gradcam"] == split.road["hirescam"]
    assert report.test.similarity[Kind("eigencam", "classifier")].value == pytest.approx(1), "it sees no classifier"
    assert abs(report.test.similarity[Kind("gradcam", "classifier")].value or 0) < 0.8
    assert report.test.localisation[control(CENTRE)].over_centre["iou"].value == 0
    levels = {kind: entry.level for kind, entry in report.validation.localisation.items()}
    assert levels == {kind: entry.level for kind, entry in report.test.localisation.items()}

    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    maps = {(entry["map"], entry["network"]): entry for entry in content["test"]["maps"]}
    assert len(maps) == len(content["test"]["maps"]) == 5 * 4 + 2
    assert set(maps["gradcam", TRAINED]["per_class"]) == set(CODES)
    assert maps["gradcam", "all"]["rank_correlation"]["n"] == COUNT
    assert maps["gradcam", "all"]["road"] is maps["gradcam", STRETCHED]["road"] is None
    assert maps["centre", "none"]["road"]["n"] == 3
    assert maps["gradcam", TRAINED]["iou"] != maps["gradcam", STRETCHED]["iou"]
    assert report.favourite == content["favourite"] != "eigencam"
    assert f"the {report.favourite} map" in content["summary"]
    assert "nan" not in str(report).lower()
    ours, centre = (maps["gradcam", TRAINED], maps["centre", "none"])
    paired = ours["over_centre"]["road"]
    assert paired["value"] == pytest.approx(ours["road"]["value"] - centre["road"]["value"])
    assert paired["n"] == 3 and paired["low"] <= paired["value"] <= paired["high"]
    assert centre["over_centre"]["road"]["value"] == 0
    assert "road" not in maps["gradcam", "all"]["over_centre"]
    assert f"{report.test.road[CENTRE]} for the blob" in content["summary"]
    assert str(report).count("\n| gradcam |") == 1 + 4


def test_the_test_part_decides_nothing(
    measured: tuple[ExplanationReport, Collected], model: SkinVisionForImageClassification, data: DatasetDict
) -> None:
    corner = PILImage.new("L", (200, 150), 0)
    corner.paste(255, (0, 0, 40, 40))
    changed = replace_masks(data, dict.fromkeys(range(COUNT), corner))
    other, _ = evaluate_explanations(model, changed, split_scheme="drawn", road_images=3)
    assert other.ranks == measured[0].ranks
    assert other.validation.to_dict() == measured[0].validation.to_dict()
    centre = other.test.localisation[control(CENTRE)]
    assert centre.level == measured[0].test.localisation[control(CENTRE)].level
    assert centre.overall["pointing_game"].value == 0


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_network_is_handed_back_as_it_was_found_under_any_grad_mode(
    model: SkinVisionForImageClassification,
    data: DatasetDict,
    mode: type,
    measured: tuple[ExplanationReport, Collected],
) -> None:
    model.train()
    model.timm_model.bn2.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with mode():
        report, _ = evaluate_explanations(model, data, split_scheme="drawn", road_images=1)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())
    for kind, entry in report.test.localisation.items():
        for name, estimate in measured[0].test.localisation[kind].overall.items():
            assert entry.overall[name].value == pytest.approx(estimate.value, abs=1e-4)


@pytest.fixture(scope="module")
def written(script: ModuleType, tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release to which the command has added what it found."""
    folder = complete_release(tiny_release, tmp_path_factory.mktemp("explained") / "release")
    (folder / "README.md").write_text("an older card")
    options = ["--model", str(folder), "--data", SOURCE, "--output_dir", str(folder)]
    assert script.main([*options, "--limit", str(COUNT), "--road_images", "2", "--seed", "1"]) == 0
    return folder


def test_the_command_adds_its_section_to_a_release_and_keeps_the_others(
    written: Path, tiny_release: Path, tmp_path: Path
) -> None:
    content = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    assert {name: content[name] for name in metrics()} == metrics()
    section = content["explanations"]
    assert section["split"] == "synthetic, ham10000-v1"
    assert section["test"]["images"] == COUNT
    assert {entry["map"] for entry in section["test"]["maps"] if entry["road"]} == {*CAM_METHODS, *CONTROLS}
    before = complete_release(tiny_release, tmp_path / "before")
    for name in ("config.json", "model.safetensors"):
        assert (written / name).read_bytes() == (before / name).read_bytes()
    text = (written / "metrics.json").read_text(encoding="utf-8")
    assert str(written) not in text
    assert str(ROOT) not in text


def test_the_card_of_the_release_tells_what_was_found_and_shows_no_image(written: Path) -> None:
    card = (written / "README.md").read_text(encoding="utf-8")
    summary = json.loads((written / "metrics.json").read_text(encoding="utf-8"))["explanations"]["summary"]
    assert summary in card
    assert "figures/explanation_scores.png" in card
    assert "panels" not in card
    assert not lint_card(written)


def test_the_command_draws_numbers_apart_from_what_shows_the_data_set(written: Path) -> None:
    figures, panels = ({path.name for path in (written / name).iterdir()} for name in ("figures", "panels"))
    drawn = {"explanation_scores.png", "explanation_by_class.png", "explanation_randomisation.png"}
    assert figures == drawn | {"confusion_matrix.png"}
    assert "right_and_wrong.png" in panels
    assert panels - {"right_and_wrong.png"} <= {f"{code}.png" for code in CODES}
    assert len(panels) > 4
    for path in [*(written / "figures" / name for name in drawn), *(written / "panels").iterdir()]:
        with PILImage.open(path) as picture:
            assert min(picture.size) > 300
            assert picture.convert("L").getextrema()[0] < 128, f"{path.name} is blank"


def test_the_command_comes_to_the_same_numbers_again_and_says_which_method_wins(
    written: Path, script: ModuleType, tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_release), "--data", SOURCE, "--output_dir", str(tmp_path)]
    assert script.main([*options, "--limit", str(COUNT), "--road_images", "2", "--seed", "1"]) == 0
    before, after = (json.loads((f / "metrics.json").read_text())["explanations"] for f in (written, tmp_path))
    assert after == before
    printed = capsys.readouterr().out
    assert f"Validation favours {before['favourite']}" in printed
    assert "| centre | none |" in printed
    for path in [*(tmp_path / "panels").iterdir(), *(tmp_path / "figures").iterdir()]:
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes(), path.name
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "./nowhere"], "there is no folder ./nowhere"),
        (["--data", SOURCE, "--model", "./nowhere"], "nowhere"),
        (["--data", SOURCE, "--limit", "-3"], "at least"),
        (["--data", SOURCE, "--road_images", "0"], "at least"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    script: ModuleType,
    tiny_release: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        code = script.main(["--model", str(tiny_release), "--output_dir", str(tmp_path / "out"), *options])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_real_lesions_lie_where_photographers_put_them(tiny_release: Path, ham10000_dir: Path) -> None:
    """The masks fit their images: lesions fill a quarter of a photograph, and its middle nearly always."""
    data = draw_parts(load_ham10000(ham10000_dir, masks=True), 60)
    collected = collect_scores(SkinVisionForImageClassification.from_pretrained(tiny_release), data["test"])
    centre = collected.kinds.index(control(CENTRE))
    assert len(collected.rows) == 60
    assert 0.1 < collected.scores.area[0].mean() < 0.4
    assert collected.scores.pointing[centre].mean() > 0.85
