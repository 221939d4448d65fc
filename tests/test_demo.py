"""What the demo page says: bars, words about certainty, the heat map, and the numbers of a release."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from complete_release import complete_release, draw_figure, estimate
from drawing import draw_lesion
from PIL import Image, ImageChops

from skinvision_hf.card.wording import FIGURES
from skinvision_hf.demo import (
    MAX_BYTES,
    Handlers,
    Overlay,
    answer_html,
    describe_release,
    disclaimer_html,
    error_html,
    example_images,
    overlay_html,
    ranked_bars,
    read_upload,
    unlike_html,
)
from skinvision_hf.demo.wording import NO_GUARD, certainty, malignant_note, set_note
from skinvision_hf.errors import ImageError
from skinvision_hf.explain import Explanation
from skinvision_hf.figures.heat_layer import heat_layer
from skinvision_hf.labels import CODES, DIAGNOSES, DISCLAIMER
from skinvision_hf.models.prediction import Prediction

UNSURE = Prediction.from_probabilities([0.05, 0.1, 0.15, 0.02, 0.28, 0.38, 0.02])
SURE = Prediction.from_probabilities([0.001, 0.001, 0.01, 0.001, 0.004, 0.98, 0.003], in_distribution=True)


def explanation(heatmap: np.ndarray, target: str = "mel") -> Explanation:
    height, width = heatmap.shape
    return Explanation(heatmap, target, "gradcam", UNSURE, draw_lesion(1, (width, height)), (6, 6))


def test_the_bars_are_ranked_and_name_each_diagnosis_in_plain_words() -> None:
    html = ranked_bars(UNSURE)
    assert re.findall(r'data-code="(\w+)"', html) == ["nv", "mel", "bkl", "bcc", "akiec", "df", "vasc"]
    for entry in DIAGNOSES:
        assert html.count(entry.description.replace("'", "&#x27;")) == 1
    assert re.findall(r"(\d+\.\d)%</span>", html) == ["38.0", "28.0", "15.0", "10.0", "5.0", "2.0", "2.0"]


def test_every_bar_says_benign_or_malignant_in_words_and_not_by_colour_alone() -> None:
    groups = re.findall(r'data-code="(\w+)".*?<span class="sv-pill sv-\w+">([^<]+)</span>', ranked_bars(UNSURE))
    malignant = {code for code, group in groups if "malignant" in group}
    assert malignant == {"mel", "bcc", "akiec"}
    assert {code for code, group in groups if group == "benign"} == set(CODES) - malignant


def test_the_reading_of_certainty_grows_with_the_confidence() -> None:
    assert "unsure" in certainty(UNSURE)
    assert "about 62 of 100" in certainty(UNSURE)
    assert "second choice is melanoma, at 28%" in certainty(UNSURE)
    assert "very sure" in certainty(SURE)
    assert "about 2 of 100" in certainty(SURE)
    assert "second choice" not in certainty(SURE)


def test_a_benign_answer_does_not_hide_a_large_malignant_share() -> None:
    assert malignant_note(UNSURE).endswith("43%, although the most likely one is benign.")
    assert "although" not in malignant_note(SURE)


def test_the_list_of_diagnoses_that_are_not_ruled_out_is_told_with_its_aim() -> None:
    several = replace(UNSURE, prediction_set=("nv", "mel", "bkl"), coverage=0.9)
    assert set_note(several) == (
        "A list of diagnoses that aims at holding the true one in 90% of such images names "
        "melanocytic nevus, melanoma and benign keratosis."
    )
    assert "only this: melanocytic nevus" in str(set_note(replace(several, prediction_set=("nv",))))
    assert "No diagnosis fits" in str(set_note(replace(several, prediction_set=())))
    assert set_note(UNSURE) is None


def test_a_release_without_a_guard_admits_that_it_would_answer_for_a_cat() -> None:
    assert NO_GUARD in answer_html(UNSURE)
    assert NO_GUARD not in answer_html(SURE)


def test_an_unlike_picture_gets_a_notice_and_no_diagnosis() -> None:
    html = unlike_html()
    assert "does not look like" in html
    assert not any(entry.name in html for entry in DIAGNOSES)
    assert answer_html(replace(UNSURE, in_distribution=False)).startswith(html)


def test_an_answer_that_was_insisted_on_does_not_contradict_its_warning() -> None:
    asked = replace(UNSURE, prediction_set=("nv", "mel"), coverage=0.9)
    told = {verdict: answer_html(replace(asked, in_distribution=verdict)) for verdict in (True, False)}
    for words in ("The model is unsure", "of 100 such images", "aims at holding the true one"):
        assert words in told[True] and words not in told[False]
    assert "cannot be relied on" in told[False] and "cannot be relied on" not in told[True]
    assert ranked_bars(UNSURE) in told[False]


def test_a_reason_stands_in_the_answer_s_place_as_a_sentence() -> None:
    html = error_html("your image is <b>empty</b>; choose another")
    assert "Your image is &lt;b&gt;empty&lt;/b&gt;; choose another." in html
    assert 'role="alert"' in html


class Refusing:
    """A release whose guard refuses every image."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, image: Image.Image) -> Prediction:
        self.asked.append("predict")
        return replace(UNSURE, in_distribution=False, typicality=0.0)

    def explain(self, image: Image.Image, **options: object) -> Explanation:
        self.asked.append("explain")
        return explanation(np.ones((40, 50), dtype=np.float32))


def test_no_heat_map_is_computed_for_an_image_that_the_guard_refuses(tmp_path: Path) -> None:
    path = tmp_path / "lesion.png"
    draw_lesion(1).save(path)
    vision = Refusing()
    handlers = Handlers(vision)  # type: ignore[arg-type]
    assert handlers.answer(str(path)).reply == unlike_html()
    answer, picture = handlers.explain(str(path))
    assert picture is None and "probabilities" not in answer
    assert vision.asked == ["predict", "predict"]
    assert "sv-heat" in handlers.answer_anyway(str(path)).overlay
    assert vision.asked[2:] == ["predict", "explain"]


def test_the_disclaimer_is_said_word_for_word() -> None:
    assert re.sub("<[^>]+>", "", disclaimer_html()) == DISCLAIMER


def test_the_heat_layer_blends_to_what_the_overlay_shows() -> None:
    rng = np.random.default_rng(0)
    entry = explanation(rng.random((60, 80), dtype=np.float32))
    page = entry.image.convert("RGBA")
    page.alpha_composite(heat_layer(entry.heatmap))
    difference = ImageChops.difference(page.convert("RGB"), entry.overlay(1.0))
    assert max(high for _, high in difference.getextrema()) <= 1


def test_the_overlay_carries_both_pictures_in_the_page_and_describes_them() -> None:
    heatmap = np.zeros((450, 600), dtype=np.float32)
    heatmap[200:260, 300:380] = 1
    html = overlay_html(explanation(heatmap))
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", html)]
    assert [picture.format for picture in pictures] == ["JPEG", "PNG"]
    assert pictures[0].size == (600, 450)
    alpha = np.asarray(pictures[1])[..., 3]
    row, column = np.unravel_index(alpha.argmax(), alpha.shape)
    scale = pictures[0].height / pictures[1].height
    assert scale == pictures[0].width / pictures[1].width
    assert (200 <= row * scale <= 260) and (300 <= column * scale <= 380)
    assert 'alt="Your image"' in html and "Heat map of what speaks for melanoma" in html
    assert "http" not in html
    assert "speak for melanoma" in html and "only 6 cells a side" in html


def test_a_map_without_heat_says_that_nothing_speaks_for_the_diagnosis() -> None:
    assert "nothing in this image speaks for dermatofibroma" in overlay_html(explanation(np.zeros((40, 50)), "df"))


def test_an_upload_is_read_and_a_bad_one_is_refused_without_naming_a_path(tmp_path: Path) -> None:
    good, bad, large = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    draw_lesion().save(good)
    bad.write_text("no image")
    large.write_bytes(good.read_bytes() + b"0" * MAX_BYTES)
    assert read_upload(str(good)).size == (200, 150)
    for path, reason in (
        (bad, "cannot be read as an image"),
        (large, "more than 10 MB"),
        (tmp_path / "d", "no longer"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_upload(str(path))
        assert str(caught.value).startswith("your image ") and str(tmp_path) not in str(caught.value)
    with pytest.raises(ImageError, match="no image yet"):
        read_upload(None)


def test_the_about_tab_shows_the_numbers_of_the_release(tiny_release: Path, tmp_path: Path) -> None:
    release = complete_release(tiny_release, tmp_path / "release")
    metrics = json.loads((release / "metrics.json").read_text())
    errors = {name: estimate(0.1) for name in ("ece", "classwise_ece", "brier_score", "log_loss")}
    errors["per_class"] = {code: estimate(0.1) for code in CODES}
    summary = "If a model says 80%, it ought to be right 8 times out of 10."
    metrics["calibration"] = {"summary": summary, "temperature": 1.2, "before": errors, "after": errors}
    (release / "metrics.json").write_text(json.dumps(metrics))
    about = describe_release(release)
    accuracy = metrics["overall"]["balanced_accuracy"]
    interval = f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})"
    assert f"| Balanced accuracy | {interval} |" in about.text
    assert f"{metrics['per_class']['mel']['sensitivity']['value']:.3f}" in about.text
    assert "210 images of 180 lesions" in about.text
    assert "### Can its certainty be trusted?\n\nIf a model says 80%" in about.text
    assert "Is it as good for everyone?" not in about.text
    assert DISCLAIMER in about.text
    assert [caption for _, caption in about.figures] == [FIGURES["confusion_matrix"][1]]
    assert all(Path(path).is_file() for path, _ in about.figures)


def test_the_figures_come_by_importance(tiny_release: Path, tmp_path: Path) -> None:
    release = complete_release(tiny_release, tmp_path / "release")
    for name in ("abstention", "reliability", "training_curves", "per_class_metrics"):
        draw_figure(release / "figures" / f"{name}.png")
    names = [Path(path).stem for path, _ in describe_release(release).figures]
    assert names == ["confusion_matrix", "per_class_metrics", "reliability", "abstention", "training_curves"]


def test_the_about_tab_of_a_release_without_measurements_says_so(tiny_release: Path) -> None:
    about = describe_release(tiny_release)
    assert "no measurements" in about.text and DISCLAIMER in about.text and about.figures == ()


def test_examples_are_the_pictures_that_a_release_carries(tmp_path: Path) -> None:
    assert example_images(tmp_path) == []
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("b.png", "a.jpg", "notes.txt"):
        (folder / name).write_bytes(b"")
    assert [Path(path).name for path in example_images(tmp_path)] == ["a.jpg", "b.png"]


def test_no_two_answers_share_the_file_of_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture, split = draw_lesion(1), Overlay()
    first, second = (Path(split.postprocess(picture).path) for _ in range(2))
    assert first != second
    for path in (first, second):
        assert path.is_relative_to(split.GRADIO_CACHE), "Gradio deletes what lies there"
        with Image.open(path) as image:
            assert not ImageChops.difference(image, picture).getbbox()
    assert split.postprocess(None) is None
