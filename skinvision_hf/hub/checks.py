"""What a release must fulfil to be published: all loaders agree, and its report is about these very weights."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from skinvision_hf.card import MAIN_METRICS, ReleaseReport
from skinvision_hf.errors import HubError
from skinvision_hf.evaluation.report import EvalReport
from skinvision_hf.files import sha256
from skinvision_hf.models.release import (
    CONFIG_FILE,
    METRICS_FILE,
    PARTS_KEY,
    SELFTEST_FILE,
    WEIGHTS_FILE,
    release_parts,
)
from skinvision_hf.models.selftest import run_selftest


def check_release(folder: Path) -> None:
    """Check a release folder as it would be published.

    Raises:
        ModelError: If it cannot be loaded.
        HubError: If the loaders disagree, or the report is incomplete or about other files.
    """
    if not (folder / SELFTEST_FILE).is_file():
        raise HubError(f"an older version made this release, without {SELFTEST_FILE}; run its training with --resume")
    if failed := [result.loader for result in run_selftest(folder) if not result.passed]:
        raise HubError(f"{' and '.join(failed)} give other answers than the release expects; make the release again")
    if fault := next(_faults(folder, ReleaseReport.read(folder).evaluation), None):
        raise HubError(f"the release cannot be published: {fault}; evaluate it again")


def _faults(folder: Path, report: EvalReport) -> Iterator[str]:
    if report.model is None or report.model.weights_sha256 != sha256(folder / WEIGHTS_FILE):
        yield f"{METRICS_FILE} was measured with other weights than those of {WEIGHTS_FILE}"
    listed = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get(PARTS_KEY)
    if listed != release_parts(folder):
        yield f"{CONFIG_FILE} lists {listed} as {PARTS_KEY}, but there are {release_parts(folder)}"
    for metric in MAIN_METRICS:
        estimate = report.overall.get(metric.name)
        if estimate is None or estimate.value is None or not math.isfinite(estimate.value):
            yield f"{METRICS_FILE} has no {metric.name}"
