"""`SkinVision`: the right probabilities for every image, whatever its source, batch, thread or the network's mode."""

import copy
import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import draw_lesion
from PIL import Image

from skinvision_hf.errors import ImageError, ModelError
from skinvision_hf.labels import CODES
from skinvision_hf.models.prediction import OperatingPoint, Prediction, load_operating_point
from skinvision_hf.records import Estimate
from skinvision_hf.vision import SkinVision

RATE = Estimate(0.91, 0.87, 0.95, 293)
POINT = OperatingPoint("malignant", "sensitivity", 0.95, 0.08, RATE, RATE, RATE, RATE)


def values(prediction: Prediction) -> list[float]:
    return list(prediction.probabilities.values())


def test_all_fields_follow_from_the_seven_probabilities() -> None:
    seven = [0.05, 0.1, 0.02, 0.03, 0.5, 0.25, 0.05]
    prediction = Prediction.from_probabilities(seven)
    assert (prediction.label, prediction.name, prediction.confidence) == ("mel", "Melanoma", 0.5)
    assert tuple(prediction.probabilities) == CODES
    assert prediction.malignant_probability == pytest.approx(0.05 + 0.1 + 0.5)
    unknown = "whether the image is like the training images is unknown"
    assert str(prediction) == f"Melanoma (mel) 50.0%, malignant 65.0%; {unknown}"
    assert prediction.to_dict()["suspicious"] is None, "what a release cannot say stays in the dictionary"
    with pytest.raises(FrozenInstanceError):
        prediction.label = "nv"
    full = Prediction.from_probabilities(
        seven,
        operating_point=POINT,
        in_distribution=True,
        unusual=True,
        in_distribution_score=0.04,
        in_set=[False, True, False, False, True, True, False],
        coverage=0.9,
    )
    assert full.prediction_set == ("mel", "nv", "bcc"), "the most probable first"
    assert repr(full) == "<Prediction suspicious: Melanoma (mel) 50.0%, malignant 65.0%; the image is unusual>"
    for each in (prediction, full):
        assert Prediction.from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_the_verdict_is_that_of_the_threshold_with_95_percent_sensitivity(vision: SkinVision) -> None:
    benign = Prediction.from_probabilities([0, 0, 0, 0, 0.16, 0.84, 0], operating_point=POINT)
    assert benign.label == "nv"
    assert benign.suspicious, "a benign diagnosis can hide a malignant probability of twice the threshold"
    assert not Prediction.from_probabilities([0, 0, 0, 0, 0.07, 0.93, 0], operating_point=POINT).suspicious
    bundled = SkinVision.from_pretrained(device="cpu")
    point = bundled.predict(draw_lesion()).operating_point
    assert point == load_operating_point(bundled.release)
    assert (point.task, point.fixed, point.level) == ("malignant", "sensitivity", 0.95)
    assert (round(point.sensitivity.value or 0, 2), round(point.specificity.value or 0, 2)) == (0.95, 0.7)
    without = vision.predict(draw_lesion())
    assert without.suspicious is without.operating_point is None


def test_a_list_keeps_its_order_over_several_batches_and_any_iterable_will_do(vision: SkinVision) -> None:
    images = [draw_lesion(seed) for seed in range(7)]
    single = [values(vision.predict(image)) for image in images]
    for batch_size in (1, 3, 7, 32):
        many = vision.predict(images, batch_size=batch_size)
        np.testing.assert_allclose([values(p) for p in many], single, rtol=1e-5)
    assert len(vision.predict(image for image in images)) == 7
    assert len(vision.predict(np.asarray(image) for image in images[:2])) == 2
    assert vision.predict([]) == []
    with pytest.raises(ModelError, match="batch_size is 0; give a whole number of at least 1"):
        vision.predict(images, batch_size=0)


def test_a_bad_image_in_a_list_is_named_and_stops_the_others_or_not(vision: SkinVision, tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    with pytest.raises(ImageError, match=r"^image 1 is only 1 x 1 pixels"):
        vision.predict([draw_lesion(), Image.new("RGB", (1, 1))])
    with pytest.raises(ImageError, match=r"gone\.jpg does not exist"):
        vision.predict([draw_lesion(), gone])
    with pytest.raises(ImageError, match="of type int; give a path"):
        vision.predict(7)
    with pytest.raises(ImageError, match=r"^image 0 is of type Tensor"):
        vision.predict(torch.zeros(2, 3, 64, 64))
    good = [draw_lesion(seed) for seed in range(3)]
    expected = vision.predict(good)
    for batch_size in (1, 2, 32):
        answers = vision.predict([gone, *good[:2], b"GIF", good[2]], batch_size=batch_size, on_error="return")
        faults, found = [answers[0], answers[3]], [answers[1], answers[2], answers[4]]
        assert all(isinstance(fault, ImageError) for fault in faults)
        np.testing.assert_allclose([values(p) for p in found], [values(p) for p in expected], rtol=1e-5)
    assert isinstance(vision.predict([gone], on_error="return")[0], ImageError)
    answers = vision.stream([*good, gone])
    assert [next(answers).label for _ in good] == [prediction.label for prediction in expected], "before it stops"
    with pytest.raises(ImageError, match=r"gone\.jpg does not exist"):
        next(answers)
    with pytest.raises(ModelError, match="on_error is 'skip'; give 'raise' or 'return'"):
        vision.predict(good, on_error="skip")


def test_copies_give_the_same_answers(ood_release: Path) -> None:
    vision = SkinVision.from_pretrained(ood_release, device="cpu")
    image = draw_lesion()
    expected = vision.predict(image)
    for twin in (copy.deepcopy(vision), pickle.loads(pickle.dumps(vision))):
        assert twin.predict(image) == expected
        assert twin.explain(image).prediction == expected
        twin.model.train()
        assert twin.predict(image) == expected, "the copy guards its own network, not the original"
    assert pickle.loads(pickle.dumps(expected)) == expected
    assert pickle.loads(pickle.dumps(vision.explain(image))).prediction == expected


def confidence(vision: SkinVision, image: Image.Image) -> float:
    return vision.predict(image).confidence


@pytest.mark.slow
def test_a_process_that_is_spawned_gives_the_same_answer(vision: SkinVision) -> None:
    image = draw_lesion()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(confidence, vision, image).result(240)
    assert found == pytest.approx(confidence(vision, image), abs=1e-6)


class FixedDetector:
    """Has the interface of an OOD detector, gives fixed scores and remembers the features that it saw."""

    refused, unusual, stage = 0.5, 0.6, None

    def score(self, features: np.ndarray) -> np.ndarray:
        self.seen = features
        return np.array([0.25, 0.5, 0.75])[: len(features)]


def test_one_forward_pass_makes_the_answer_the_ood_score_and_the_heat_map(vision: SkinVision) -> None:
    images = [draw_lesion(seed) for seed in range(3)]
    plain = vision.predict(images)
    detector = FixedDetector()
    vision.detector = detector
    passes: list[int] = []
    vision.model.timm_model.conv_stem.register_forward_hook(lambda *_: passes.append(1))
    scored = vision.predict(images)
    assert [p.in_distribution_score for p in scored] == [0.25, 0.5, 0.75]
    assert [p.in_distribution for p in scored] == [False, True, True]
    assert [p.unusual for p in scored] == [False, True, False]
    assert [p.probabilities for p in scored] == [p.probabilities for p in plain]
    classifier = vision.model.timm_model.get_classifier()
    with torch.inference_mode():
        probabilities = classifier(torch.from_numpy(detector.seen)).double().softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, [values(p) for p in plain], rtol=1e-5)
    assert "do not rely on it: the image is unlike the training images" in str(scored[0])
    explanation = vision.explain(images[0])
    assert explanation.prediction.probabilities == pytest.approx(scored[0].probabilities, rel=1e-5)
    assert len(passes) == 2


def test_what_cannot_be_answered_is_an_error_in_one_line(vision: SkinVision, tmp_path: Path) -> None:
    for device in ("warp-drive", "cuda:99"):
        with pytest.raises(ModelError, match="has no device"):
            vision.to(device)
    # A damaged report does not silence the verdict.
    vision.save_pretrained(tmp_path)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(ModelError, match=r"is not a valid metrics\.json; download the release again"):
        SkinVision.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="the name of the model is empty"):
        SkinVision.from_pretrained("")
    for ref in (None, tmp_path):
        with pytest.raises(ModelError, match="is a folder and has no revision; give a Hub id"):
            SkinVision.from_pretrained(ref, revision="v1.0")
    with pytest.raises(ModelError, match="max_side is -1; give at least 1"):
        vision.explain(draw_lesion(), max_side=-1)
    with torch.no_grad():
        vision.model.timm_model.get_classifier().bias[2] = float("nan")
    with pytest.raises(ModelError, match="no finite answer; download the release again"):
        vision.predict(draw_lesion())


def test_a_saved_copy_is_the_release_byte_for_byte_and_only_while_its_weights_are(
    vision: SkinVision, tiny_release: Path, tmp_path: Path
) -> None:
    release = vision.save_pretrained(tmp_path / "release")
    (release / "figures").mkdir()
    (release / "figures" / "roc.png").write_bytes(b"curve")
    (release / "metrics.json").write_text("{}")
    (release / "notes.txt").write_text("no part of a release")

    copied = SkinVision.from_pretrained(release).save_pretrained(tmp_path / "copy")

    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert files == {"config.json", "model.safetensors", "metrics.json", "figures/roc.png"}
    for name in ("config.json", "model.safetensors"):
        assert (copied / name).read_bytes() == (tiny_release / name).read_bytes()
    assert SkinVision.from_pretrained(copied).predict(draw_lesion()) == vision.predict(draw_lesion())
    with torch.no_grad():
        vision.model.timm_model.get_classifier().bias += 1
    with pytest.raises(ModelError, match="weights were changed"):
        vision.save_pretrained(tmp_path / "another")
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", ["predict", "explain"])
def test_the_network_is_handed_back_as_it_was_found(vision: SkinVision, method: str, training: bool) -> None:
    ask = getattr(vision, method)
    expected = ask(draw_lesion())
    network = vision.model
    network.train(training)
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.training = not training
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.full_like(parameters[-1], 0.5)
    modes = [module.training for module in network.modules()]
    state = {key: value.clone() for key, value in network.state_dict().items()}

    assert str(ask(draw_lesion())) == str(expected)

    assert [module.training for module in network.modules()] == modes
    assert [p.requires_grad for p in parameters] == [False] + [True] * (len(parameters) - 1)
    assert [p.grad is None for p in parameters] == [True] * (len(parameters) - 1) + [False]
    assert torch.equal(parameters[-1].grad, torch.full_like(parameters[-1], 0.5))
    assert all(not module._forward_hooks and not module._backward_hooks for module in network.modules())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert torch.is_grad_enabled()
