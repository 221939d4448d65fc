"""The Space of this checkout: static, where the model runs in the visitor's browser; Gradio; or Gradio on ZeroGPU."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from skinvision_hf.card import Links
from skinvision_hf.card.phrases import FOLDED, OPACITY, PHRASES
from skinvision_hf.card.templating import templates
from skinvision_hf.config import SPACE_KINDS, SpaceKind
from skinvision_hf.data.images import MAX_PIXELS, MIN_SIDE
from skinvision_hf.errors import HubError
from skinvision_hf.explain.explanation import VIRIDIS
from skinvision_hf.files import atomic_write
from skinvision_hf.hub.sending import REVISION, Shipment, mark
from skinvision_hf.labels import DIAGNOSES, DISCLAIMER
from skinvision_hf.models.prediction import COVERAGE, MIN_SENSITIVITY
from skinvision_hf.models.release import CARD_FILE

SPACE_FOLDER = Path(__file__).resolve().parents[2] / "space"
STATIC_FOLDER = SPACE_FOLDER / "static"
REQUIREMENTS = "requirements.txt"
STYLE = "style.css"
GRADIO_FILES = ("app.py", "script.js", STYLE, CARD_FILE, REQUIREMENTS)
STATIC_FILES = (
    *("page.js", "model.js", "image.js", "heat.js", "answer.js", "theme.js", "sw.js", "page.css"),
    CARD_FILE,
)
INDEX = "index.html"
# ONNX Runtime for browsers, in the version that package.json pins: its script and its WebAssembly.
RUNTIME_FOLDER = STATIC_FOLDER / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME = {"ort.js": "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm"}
STORAGE = "https://*.hf.co https://*.huggingface.co"
"""Where the Hub redirects downloads of large files to; the static page may ask no other host but the Hub."""
ZEROGPU: dict[str, Any] = {"python_version": "3.12.12", "suggested_hardware": "zero-a10g"}


@dataclass(frozen=True)
class Space:
    """A Space to be published; see `publish_space`. The revision "" is that of the model sent before it."""

    repo_id: str
    model_id: str
    revision: str
    dataset_id: str | None = None
    kind: SpaceKind = "static"
    package: str | None = None


def stage_space(space: Space, folder: Path) -> Shipment:
    """Copy the files of a Space into a folder, with its model, data set and package in them.

    Raises:
        HubError: If there is no such kind, this is not a checkout, or it lacks ONNX Runtime for browsers.
    """
    if space.kind not in SPACE_KINDS:
        raise HubError(f"there is no kind {space.kind!r} of Space; choose one of {', '.join(SPACE_KINDS)}")
    static = space.kind == "static"
    if static and space.package:
        raise HubError("a static Space installs no package; leave --package out, or publish another --kind")
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in (_static_files() if static else {name: SPACE_FOLDER / name for name in GRADIO_FILES}).items():
        if not source.is_file():
            raise HubError("the Space is part of a checkout of the code; clone the repository and publish from there")
        shutil.copyfile(source, folder / name)
    if space.package:
        atomic_write(folder / REQUIREMENTS, f"{space.package}\n")
    text = (folder / CARD_FILE).read_text(encoding="utf-8")
    metadata = ZEROGPU if space.kind == "zerogpu" else {}

    def write(links: Links) -> None:
        datasets = [links.dataset_id] if links.dataset_id else []
        mark(folder, text, models=[space.model_id], datasets=datasets, **metadata)

    def pin(revision: str) -> Mapping[str, str]:
        if not static:
            return {"MODEL_ID": space.model_id, REVISION: revision}
        atomic_write(folder / INDEX, _index(space.model_id, revision))
        return {}

    links = Links(dataset_id=space.dataset_id)
    write(links)
    pin(space.revision)
    return Shipment(
        kind="space",
        repo_id=space.repo_id,
        folder=folder,
        message=f"Show {space.model_id}",
        owned=[*GRADIO_FILES, *STATIC_FILES, *RUNTIME, INDEX],
        links=links,
        write_card=write,
        revision=space.revision,
        pin=pin,
        sdk="static" if static else "gradio",
        hardware=metadata.get("suggested_hardware"),
    )


def _static_files() -> dict[str, Path]:
    runtime = {name: RUNTIME_FOLDER / source for name, source in RUNTIME.items()}
    if STATIC_FOLDER.is_dir() and not all(path.is_file() for path in runtime.values()):
        raise HubError(
            "the static Space needs ONNX Runtime for browsers; run 'npm ci --omit=dev --ignore-scripts' in "
            "space/static, or publish another --kind"
        )
    return {name: STATIC_FOLDER / name for name in STATIC_FILES} | {STYLE: SPACE_FOLDER / STYLE} | runtime


def _index(model_id: str, revision: str) -> str:
    """The page, with all that its scripts need to know."""
    address = f"{constants.ENDPOINT}/{model_id}"
    settings = {
        "model": model_id,
        "files": f"{address}/resolve/{revision}/",
        "disclaimer": DISCLAIMER,
        "diagnoses": [asdict(diagnosis) | {"group": diagnosis.group} for diagnosis in DIAGNOSES],
        "phrases": PHRASES,
        "folded": FOLDED,
        "coverage": COVERAGE,
        "minSensitivity": MIN_SENSITIVITY,
        "maxPixels": MAX_PIXELS,
        "minSide": MIN_SIDE,
        "viridis": VIRIDIS.split(),
    }
    page = templates().get_template("space/static/index.html")
    hosts = f"{constants.ENDPOINT} {STORAGE}"
    return page.render(settings=settings, card=address, hosts=hosts, opacity=OPACITY, say=PHRASES.__getitem__)
