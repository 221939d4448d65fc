"""What the demo page says: the verdict, the details, the heat map, and the numbers of a release."""

import base64
import io
import json
import re
from dataclasses import replace
from html import unescape
from importlib.metadata import metadata, requires
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from complete_release import draw_figure
from drawing import draw_lesion
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image, ImageChops

from skinvision_hf import __version__
from skinvision_hf.card.phrases import say
from skinvision_hf.demo import Handlers, Overlay, choose_examples, describe_release, html, overlay_html
from skinvision_hf.demo.parts import percent
from skinvision_hf.explain.explanation import Explanation
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER, MALIGNANT_CODES
from skinvision_hf.models.prediction import OperatingPoint, Prediction
from skinvision_hf.records import Estimate
from skinvision_hf.vision import SkinVision

SPACE = Path(__file__).resolve().parents[1] / "space"


def rate(value: float) -> Estimate:
    return Estimate(value, value - 0.02, value + 0.02, 1000)


POINT = OperatingPoint("malignant", "sensitivity", 0.95, 0.2, rate(0.91), rate(0.73), rate(0.5), rate(0.99))


def predict(*probabilities: float, **options: object) -> Prediction:
    known = {"operating_point": POINT, "in_distribution": True, "unusual": False, "in_distribution_score": 0.4}
    return Prediction.from_probabilities(probabilities, **{**known, **options})


UNSURE = predict(0.05, 0.1, 0.15, 0.005, 0.284, 0.409, 0.002, in_set=[False] * 4 + [True, True, False], coverage=0.95)
CLEAR = predict(0.001, 0.001, 0.001, 0.001, 0.002, 0.993, 0.001)


def explanation(heatmap: np.ndarray, target: str = "mel", **options: object) -> Explanation:
    height, width = heatmap.shape
    known = {"prediction": UNSURE, "hottest_at_border": False}
    image = draw_lesion(1, (width, height))
    return Explanation(heatmap, target, "gradcam", image=image, cells=(6, 6), **{**known, **options})


def text_of(page: str) -> str:
    return re.sub("<[^>]+>", " ", page)


def test_the_verdict_comes_first_then_the_diagnosis_one_sentence_and_details() -> None:
    page = html("answer", UNSURE, refused=0.05)
    order = [page.index(part) for part in (">Suspicious<", "Melanocytic nevus", "second most probable", "<details>")]
    assert order == sorted(order)
    assert "91% of malignant test images" in page and "27% of benign ones" in page and "threshold is 20%" in page
    assert "Melanocytic nevus</span> <strong>41%</strong>" in page
    assert "melanoma, with 28%" in page
    clear = html("answer", CLEAR)
    assert ">Not suspicious<" in clear and "misses 9% of malignant test images" in clear
    assert "&gt;99%" in clear and "All other diagnoses are below 1%" in clear
    assert say("still_benign") in page, "a benign diagnosis beside this verdict is explained"
    melanoma = predict(0.05, 0.1, 0.15, 0.005, 0.409, 0.284, 0.002)
    assert not any(say("still_benign") in html("answer", other) for other in (melanoma, CLEAR))
    assert "a probability of 20.4%; the threshold is 20.0%" in html("answer", predict(0.104, 0, 0, 0, 0.1, 0.796, 0))
    assert "gives no verdict" in html("answer", replace(CLEAR, suspicious=None, operating_point=None))


def test_the_details_rank_all_diagnoses_and_fold_those_below_one_percent() -> None:
    page = html("answer", UNSURE, refused=0.05)
    assert re.findall(r'data-code="(\w+)"', page) == ["nv", "mel", "bkl", "bcc", "akiec", "df", "vasc"]
    values = (0.0, 0.0099, 0.01, 0.0149, 0.5, 0.99, 0.991, 1.0)
    assert list(map(percent, values)) == ["<1%", "<1%", "1%", "1%", "50%", "99%", ">99%", ">99%"]
    assert re.findall(r'sv-percent">([^<]+)<', page) == ["41%", "28%", "15%", "10%", "5%", "&lt;1%", "&lt;1%"]
    folded = page.partition("2 diagnoses below 1%")[2]
    assert re.findall(r'data-code="(\w+)"', folded) == ["df", "vasc"]
    for entry in DIAGNOSES:
        assert entry.description in unescape(page)
        kind = "malignant" if entry.malignant else "benign"
        assert f'sv-pill sv-{kind}">{entry.group}</span>' in page, "in words, not by colour alone"
    assert unescape(page).count(say("malignant")) == 1
    defined = {entry.code for entry in DIAGNOSES if entry.name.lower() in say("malignant").lower()}
    assert defined == set(MALIGNANT_CODES)
    assert "95% conformal prediction set: melanocytic nevus and melanoma." in page
    assert "In-distribution score: 0.40, on a scale from 0" in page and "Below 0.05, an image is refused" in page


def test_notices_and_errors_say_what_is_known_about_the_image() -> None:
    assert say("no_ood") in html("answer", replace(UNSURE, in_distribution=None))
    unusual = html("answer", replace(UNSURE, unusual=True))
    assert say("unusual") in unusual and say("unusual") not in html("answer", UNSURE)
    assert say("unlike") in html("unlike") and not any(entry.name in html("unlike") for entry in DIAGNOSES)
    asked = html("answer", replace(UNSURE, in_distribution=False), refused=0.05)
    assert asked.startswith(html("unlike"))
    assert "sv-doubtful" in asked and "sv-doubtful" not in html("answer", UNSURE), "its badges are grey"
    assert "prediction set" not in asked, "coverage holds for images like the training images only"
    page = html("error", "your image is <b>empty</b>; choose another")
    assert "Your image is &lt;b&gt;empty&lt;/b&gt;; choose another." in page and 'role="alert"' in page
    bar = html("disclaimer_bar")
    assert DISCLAIMER in bar and "not a medical device" in text_of(bar) and len(text_of(bar)) < 110


class Counting:
    """A release that counts how often its network runs, and refuses every image or none."""

    release = Path("nowhere")
    detector = SimpleNamespace(refused=0.05)

    def __init__(self, *, accepts: bool) -> None:
        self.accepts, self.runs = accepts, 0

    def predict(self, image: Image.Image) -> Prediction:
        self.runs += 1
        return replace(UNSURE, in_distribution=self.accepts)

    def explain(self, image: Image.Image, **_: object) -> Explanation:
        return explanation(np.ones((40, 50), dtype=np.float32), prediction=self.predict(image))


def test_an_answer_is_one_forward_pass_and_a_refused_image_gets_none(photo: str) -> None:
    vision = Counting(accepts=True)
    shown = Handlers(vision).answer(photo)
    assert vision.runs == 1
    assert ">Suspicious<" in shown.reply and "sv-heat" in shown.overlay
    handlers = Handlers(Counting(accepts=False))
    assert handlers.answer(photo).reply == html("unlike") and handlers.answer(photo).overlay == ""
    answer, picture = handlers.explain(photo)
    assert picture is None and set(answer) == {"in_distribution", "in_distribution_score", "message", "disclaimer"}
    assert "insist" in answer["message"] and "not reliable" in answer["message"]
    assert handlers.predict(photo) == answer and "probabilities" in handlers.predict(photo, insist=True)
    assert handlers.predict(photo, insist="false") == answer  # programs send anything
    answer, picture = handlers.explain(photo, insist=True)
    assert answer["in_distribution"] is False and answer["probabilities"] and picture is not None
    assert "sv-heat" in handlers.answer_anyway(photo).overlay
    bad = handlers.answer(b"no image")
    assert bad.photo is None and "cannot be read as an image" in bad.reply


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_one_image_has_one_answer_whatever_its_orientation_tag(
    ood_release: Path, tmp_path: Path, orientation: int
) -> None:
    image = draw_lesion(5, (120, 90))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "lesion.png"
    image.save(path, exif=exif)
    vision = SkinVision.from_pretrained(ood_release, device="cpu")
    handlers, expected = Handlers(vision), vision.predict(path)
    assert handlers.predict(str(path), insist=True)["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    answer, overlay = handlers.explain(path.read_bytes(), insist=True)
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert overlay.size == ((120, 90) if orientation < 5 else (90, 120))


def test_the_overlay_carries_both_images_and_describes_them() -> None:
    heatmap = np.zeros((450, 600), dtype=np.float32)
    heatmap[200:260, 300:380] = 1
    page = overlay_html(explanation(heatmap))
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", page)]
    assert [picture.format for picture in pictures] == ["JPEG", "PNG"]
    assert pictures[0].size == (600, 450)
    alpha = np.asarray(pictures[1])[..., 3]
    row, column = np.unravel_index(alpha.argmax(), alpha.shape)
    scale = pictures[0].height / pictures[1].height
    assert (200 <= row * scale <= 260) and (300 <= column * scale <= 380)
    assert 'alt="Your image"' in page and "Heat map of what supports melanoma" in page
    assert "http" not in page and "6 x 6 cells" in page and "border" not in page
    assert "at the border of the image" in overlay_html(explanation(heatmap, hottest_at_border=True))
    nothing = overlay_html(explanation(np.zeros((40, 50)), "df"))
    assert "nothing in this image supports dermatofibroma" in nothing


def test_the_about_tab_has_key_numbers_and_sections_with_a_figure_or_says_that_there_are_none(release: Path) -> None:
    metrics = json.loads((release / "metrics.json").read_text())
    draw_figure(release / "figures" / "per_class_metrics.png")
    about = describe_release(release)
    accuracy = metrics["overall"]["balanced_accuracy"]["value"]
    assert f"{accuracy:.0%} Balanced accuracy 95% CI" in " ".join(text_of(about.numbers).split())
    assert "210 images of 180 lesions" in about.text and DISCLAIMER in about.text
    sections = {section.title: section for section in about.sections}
    assert {"All metrics", "By diagnosis", "What it misses", "Quality of the heat maps"} <= set(sections)
    assert f"| Balanced accuracy | {accuracy:.3f}" in sections["All metrics"].text
    assert "confusion_matrix.png" in sections["All metrics"].figure
    assert 'loading="lazy"' in sections["By diagnosis"].figure and sections["What it misses"].figure == ""
    for damage in (lambda path: path.write_text(""), Path.unlink):
        damage(release / "metrics.json")
        about = describe_release(release)
        assert "no measurements" in about.text and DISCLAIMER in about.text and about.sections == ()


def test_examples_are_accepted_images_with_their_ground_truth_and_one_mistake(tmp_path: Path) -> None:
    class Choosy:
        """Refuses akiec, and calls everything else but df right."""

        release = tmp_path

        def predict(self, path: Path) -> Prediction:
            code = path.stem.rpartition("-")[2]
            answer = replace(CLEAR, label="nv" if code == "df" else code)
            return replace(answer, in_distribution=code != "akiec")

    assert choose_examples(Choosy(), None, tmp_path) == []
    (tmp_path / "examples").mkdir()
    for name in ("1-akiec.png", "2-bcc.png", "3-bkl.jpg", "4-df.png", "5-df.png", "6-nv.png", "7-mel.png", "notes.txt"):
        (tmp_path / "examples" / name).write_bytes(b"")
    chosen = choose_examples(Choosy(), None, tmp_path)
    assert [Path(path).name for path, _ in chosen] == ["2-bcc.png", "3-bkl.jpg", "6-nv.png", "7-mel.png", "4-df.png"]
    assert chosen[0][1] == "Basal cell carcinoma"
    assert chosen[-1][1] == "Dermatofibroma (the model is wrong)"


def test_no_two_answers_share_the_file_of_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture, part = draw_lesion(1), Overlay()
    first, second = (Path(part.postprocess(picture).path) for _ in range(2))
    assert first != second
    for path in (first, second):
        assert path.is_relative_to(part.GRADIO_CACHE), "Gradio deletes what lies there"
        with Image.open(path) as image:
            assert not ImageChops.difference(image, picture).getbbox()
    assert part.postprocess(None) is None


def test_the_space_installs_what_the_package_needs() -> None:
    name = metadata("skinvision-hf")["Name"]
    needs = [Requirement(line) for line in requires(name) or []]
    text = (SPACE / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["sdk"] == "gradio"
    extra = [need for need in needs if need.marker and need.marker.evaluate({"extra": "space"})]
    [gradio] = [need for need in extra if need.name == "gradio"]
    assert gradio.specifier.contains(front["sdk_version"])
    assert SpecifierSet(metadata(name)["Requires-Python"]).contains(front["python_version"])
    assert (SPACE / front["app_file"]).is_file()
    assert len(front["short_description"]) <= 60
    assert "Not a medical device" in text
    [requirement] = [Requirement(line) for line in (SPACE / "requirements.txt").read_text().split("\n") if line]
    assert requirement.name == name and requirement.extras == {"space", "explain"}
    assert str(requirement.specifier) == f"=={__version__}"
