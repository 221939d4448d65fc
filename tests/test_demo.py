"""What the demo page says: the verdict, the details, the heat map, and the numbers of a release."""

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from complete_release import complete_release, draw_figure
from drawing import draw_lesion
from PIL import Image, ImageChops

from skinvision_hf.demo import (
    MAX_BYTES,
    Handlers,
    Overlay,
    Photo,
    answer_html,
    choose_examples,
    describe_release,
    disclaimer_html,
    error_html,
    overlay_html,
    read_upload,
    unlike_html,
)
from skinvision_hf.demo.wording import NO_OOD, UNLIKE, UNUSUAL, percent
from skinvision_hf.errors import ImageError
from skinvision_hf.explain.explanation import Explanation, heat_layer
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER
from skinvision_hf.models.prediction import OperatingPoint, Prediction
from skinvision_hf.records import Estimate
from skinvision_hf.vision import SkinVision


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


def text_of(html: str) -> str:
    return re.sub("<[^>]+>", " ", html)


def test_the_verdict_comes_first_then_the_diagnosis_one_sentence_and_details() -> None:
    html = answer_html(UNSURE, refused=0.05)
    order = [html.index(part) for part in (">Suspicious<", "Melanocytic nevus", "second most probable", "<details>")]
    assert order == sorted(order)
    assert "91% of malignant lesions" in html and "27% of benign ones" in html and "threshold is 20%" in html
    assert "Melanocytic nevus</span><strong>41%</strong>" in html
    assert "melanoma, with 28%" in html
    clear = answer_html(CLEAR)
    assert ">Not suspicious<" in clear and "misses 9% of malignant lesions" in clear
    assert "&gt;99%" in clear and "All other diagnoses are below 1%" in clear
    assert "gives no verdict" in answer_html(replace(CLEAR, suspicious=None, operating_point=None))


def test_the_details_rank_all_diagnoses_and_fold_those_below_one_percent() -> None:
    html = answer_html(UNSURE, refused=0.05)
    assert re.findall(r'data-code="(\w+)"', html) == ["nv", "mel", "bkl", "bcc", "akiec", "df", "vasc"]
    assert re.findall(r'sv-percent">([^<]+)<', html) == ["41%", "28%", "15%", "10%", "5%", "&lt;1%", "&lt;1%"]
    folded = html.partition("2 diagnoses below 1%")[2]
    assert re.findall(r'data-code="(\w+)"', folded) == ["df", "vasc"]
    for entry in DIAGNOSES:
        assert entry.description.replace("'", "&#x27;") in html
        kind = "malignant" if entry.malignant else "benign"
        assert f'sv-pill sv-{kind}">{entry.group}</span>' in html, "in words, not by colour alone"
    assert "95% conformal prediction set: melanocytic nevus and melanoma." in html
    assert "In-distribution score: 0.40, on a scale from 0" in html and "Below 0.05, an image is refused" in html


def test_percentages_are_whole_numbers_and_never_0_or_100() -> None:
    values = (0.0, 0.0099, 0.01, 0.0149, 0.5, 0.99, 0.991, 1.0)
    assert list(map(percent, values)) == ["<1%", "<1%", "1%", "1%", "50%", "99%", ">99%", ">99%"]


def test_a_notice_says_what_is_known_about_the_image() -> None:
    assert NO_OOD in answer_html(replace(UNSURE, in_distribution=None))
    assert UNUSUAL in answer_html(replace(UNSURE, unusual=True)) and UNUSUAL not in answer_html(UNSURE)
    assert UNLIKE in unlike_html() and not any(entry.name in unlike_html() for entry in DIAGNOSES)
    asked = answer_html(replace(UNSURE, in_distribution=False), refused=0.05)
    assert asked.startswith(unlike_html())
    assert "sv-doubtful" in asked and "sv-doubtful" not in answer_html(UNSURE), "its badges are grey"
    assert "prediction set" not in asked, "coverage holds for images like the training images only"


def test_a_reason_replaces_the_answer_as_a_sentence() -> None:
    html = error_html("your image is <b>empty</b>; choose another")
    assert "Your image is &lt;b&gt;empty&lt;/b&gt;; choose another." in html
    assert 'role="alert"' in html


def test_the_disclaimer_is_one_line_and_its_tooltip_the_whole() -> None:
    assert DISCLAIMER in disclaimer_html()
    assert "not a medical device" in text_of(disclaimer_html()) and len(text_of(disclaimer_html())) < 110


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


@pytest.fixture
def lesion(tmp_path: Path) -> str:
    draw_lesion(1).save(tmp_path / "lesion.png")
    return str(tmp_path / "lesion.png")


def test_an_answer_is_one_forward_pass_and_a_refused_image_gets_none(lesion: str) -> None:
    vision = Counting(accepts=True)
    shown = Handlers(vision).answer(lesion)  # type: ignore[arg-type]
    assert vision.runs == 1
    assert ">Suspicious<" in shown.reply and "sv-heat" in shown.overlay
    handlers = Handlers(Counting(accepts=False))  # type: ignore[arg-type]
    assert handlers.answer(lesion).reply == unlike_html() and handlers.answer(lesion).overlay == ""
    answer, picture = handlers.explain(lesion)
    assert picture is None and set(answer) == {"in_distribution", "in_distribution_score", "message", "disclaimer"}
    assert "insist" in answer["message"]
    assert "sv-heat" in handlers.answer_anyway(lesion).overlay
    bad = handlers.answer(b"no image")
    assert bad.photo is None and "cannot be read as an image" in bad.reply


@pytest.mark.parametrize("orientation", range(1, 9))
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
    html = overlay_html(explanation(heatmap))
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", html)]
    assert [picture.format for picture in pictures] == ["JPEG", "PNG"]
    assert pictures[0].size == (600, 450)
    alpha = np.asarray(pictures[1])[..., 3]
    row, column = np.unravel_index(alpha.argmax(), alpha.shape)
    scale = pictures[0].height / pictures[1].height
    assert (200 <= row * scale <= 260) and (300 <= column * scale <= 380)
    assert 'alt="Your image"' in html and "Heat map of what speaks for melanoma" in html
    assert "http" not in html and "6 x 6 cells" in html and "border" not in html
    assert "at the border of the image" in overlay_html(explanation(heatmap, hottest_at_border=True))
    nothing = overlay_html(explanation(np.zeros((40, 50)), "df"))
    assert "Nothing in this image speaks for dermatofibroma" in nothing


def test_the_heat_layer_blends_to_what_the_overlay_shows() -> None:
    entry = explanation(np.random.default_rng(0).random((60, 80), dtype=np.float32))
    page = entry.image.convert("RGBA")
    page.alpha_composite(heat_layer(entry.heatmap))
    difference = ImageChops.difference(page.convert("RGB"), entry.overlay(1.0))
    assert max(high for _, high in difference.getextrema()) <= 1


def test_an_upload_is_read_and_a_bad_one_is_refused_without_naming_a_path(lesion: str, tmp_path: Path) -> None:
    content = Path(lesion).read_bytes()
    (tmp_path / "large.png").write_bytes(content + b"0" * MAX_BYTES)
    assert read_upload(lesion).size == read_upload(content).size == (200, 150)
    for upload, reason in (
        (b"no image", "cannot be read as an image"),
        (content + b"0" * MAX_BYTES, "more than 10 MB"),
        (str(tmp_path / "large.png"), "more than 10 MB"),
        (str(tmp_path / "gone.png"), "was deleted"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_upload(upload)
        assert str(caught.value).startswith("your image ") and str(tmp_path) not in str(caught.value)
    with pytest.raises(ImageError, match="no image yet"):
        read_upload(None)


def test_an_image_in_a_request_is_a_file_its_content_or_refused(lesion: str) -> None:
    def payload(path: str | None = None, url: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(path=path, url=url)

    photo, content = Photo(), Path(lesion).read_bytes()
    assert photo.preprocess(None) is None
    assert photo.preprocess(payload(path=lesion, url="/gradio_api/file=x")) == lesion
    encoded = base64.b64encode(content).decode()
    assert photo.preprocess(payload(url=f"data:image/png;base64,{encoded}")) == content
    for address in ("data:image/png;base64,***", "ftp://somewhere/x.png", None):
        with pytest.raises(ValueError, match=r"data: URL"):
            photo.preprocess(payload(url=address))
    for address in ("http://127.0.0.1:9/x.png", "http://localhost/x.png", "http://169.254.169.254/latest"):
        with pytest.raises(ValueError, match="failed validation"):
            photo.preprocess(payload(url=address))


def test_a_redirect_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import safehttpx

    real, asked = safehttpx.get, []

    async def get(url: str, **options: object) -> httpx.Response:
        asked.append(url)
        if url.startswith("https://public.example/"):
            request = httpx.Request("GET", url)
            return httpx.Response(302, headers={"Location": "http://127.0.0.1:9/x.png"}, request=request)
        return await real(url, **options)

    monkeypatch.setattr("gradio.processing_utils.sh.get", get)
    with pytest.raises(ValueError, match="failed validation"):
        Photo().preprocess(SimpleNamespace(path=None, url="https://public.example/x.png"))
    assert asked == ["https://public.example/x.png", "http://127.0.0.1:9/x.png"]


def test_the_about_tab_has_key_numbers_and_sections_with_a_figure(tiny_release: Path, tmp_path: Path) -> None:
    release = complete_release(tiny_release, tmp_path / "release")
    metrics = json.loads((release / "metrics.json").read_text())
    draw_figure(release / "figures" / "per_class_metrics.png")
    about = describe_release(release)
    accuracy = metrics["overall"]["balanced_accuracy"]["value"]
    assert f"<strong>{accuracy:.0%}</strong><span>Balanced accuracy</span><small>95% CI" in about.numbers
    assert "210 images of 180 lesions" in about.text and DISCLAIMER in about.text
    sections = {section.title: section for section in about.sections}
    assert {"All metrics", "By diagnosis", "What it misses", "What heat maps are worth"} <= set(sections)
    assert f"| Balanced accuracy | {accuracy:.3f}" in sections["All metrics"].text
    assert "confusion_matrix.png" in sections["All metrics"].figure
    assert 'loading="lazy"' in sections["By diagnosis"].figure and sections["What it misses"].figure == ""


@pytest.mark.parametrize(
    "damage", [lambda r: (r / "metrics.json").unlink(), lambda r: (r / "metrics.json").write_text("")]
)
def test_the_about_tab_of_a_release_without_measurements_says_so(
    tiny_release: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    release = complete_release(tiny_release, tmp_path / "release")
    damage(release)
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

    assert choose_examples(Choosy(), None, tmp_path) == []  # type: ignore[arg-type]
    (tmp_path / "examples").mkdir()
    for name in ("1-akiec.png", "2-bcc.png", "3-bkl.jpg", "4-df.png", "5-df.png", "6-nv.png", "7-mel.png", "notes.txt"):
        (tmp_path / "examples" / name).write_bytes(b"")
    chosen = choose_examples(Choosy(), None, tmp_path)  # type: ignore[arg-type]
    assert [Path(path).name for path, _ in chosen] == ["2-bcc.png", "3-bkl.jpg", "6-nv.png", "7-mel.png", "4-df.png"]
    assert chosen[0][1] == "Basal cell carcinoma"
    assert chosen[-1][1] == "Dermatofibroma (the model is wrong)"


@pytest.mark.slow
def test_drawn_examples_are_offered_only_where_they_pass(ood_release: Path, tmp_path: Path) -> None:
    vision = SkinVision.from_pretrained(ood_release, device="cpu")
    for path, _ in choose_examples(vision, "synthetic[:210]", tmp_path):
        assert vision.predict(path).in_distribution


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
