"""Teachers: their mean answer is what the network learns, and they know nothing that it must not know."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import history, tiny_config

from skinvision_hf.config import DistillConfig, LossConfig, PhaseConfig
from skinvision_hf.errors import DataError, ModelError
from skinvision_hf.files import sha256
from skinvision_hf.models.ensembles import Ensemble
from skinvision_hf.models.modeling import SkinVisionForImageClassification
from skinvision_hf.training.checkpoints import assert_same_settings
from skinvision_hf.training.distillation import Teachers
from skinvision_hf.training.trainer import run_training

LABELS = np.repeat(np.arange(7), [3, 5, 11, 1, 11, 67, 2])
PIXELS = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
TARGETS = torch.eye(7)[:4]


def answers(release: str) -> torch.Tensor:
    with torch.no_grad():
        return SkinVisionForImageClassification.from_pretrained(release)(PIXELS).logits


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_target_is_the_mean_answer_and_the_rest_the_label(two_releases: list[str], weight: float) -> None:
    student = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    config = DistillConfig(two_releases, logit_adjustment=0.0, weight=weight)
    mean = (answers(two_releases[0]).softmax(1) + answers(two_releases[1]).softmax(1)) / 2
    assert (mean - answers(two_releases[0]).softmax(1)).abs().max() > 0.01
    torch.testing.assert_close(
        Teachers(config, student, LABELS)(PIXELS, TARGETS), weight * mean + (1 - weight) * TARGETS, rtol=1e-3, atol=1e-4
    )


def test_teachers_look_at_as_many_views_as_asked_for(two_releases: list[str]) -> None:
    student = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    taught = Teachers(DistillConfig(two_releases, views=4), student, LABELS)(PIXELS, TARGETS)
    expected = Ensemble(two_releases, views=4)(PIXELS).logits.softmax(1)
    assert (expected - Ensemble(two_releases)(PIXELS).logits.softmax(1)).abs().max() > 1e-3
    torch.testing.assert_close(taught, expected, rtol=1e-3, atol=1e-4)


def test_answers_are_multiplied_by_the_class_frequencies(two_releases: list[str]) -> None:
    student = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    taught = Teachers(DistillConfig(two_releases[:1], logit_adjustment=0.5), student, LABELS)(PIXELS, TARGETS)
    frequencies = torch.bincount(torch.from_numpy(LABELS)) / len(LABELS)
    expected = answers(two_releases[0]).softmax(1) * frequencies**0.5
    torch.testing.assert_close(taught, expected / expected.sum(1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_a_teacher_that_normalises_in_another_way_is_refused(two_releases: list[str], tmp_path: Path) -> None:
    student = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    teacher = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    teacher.config.pretrained_cfg["mean"] = [0.1, 0.2, 0.3]
    teacher.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="other normalises pixels in another way than the network"):
        Teachers(DistillConfig([str(tmp_path / "other")]), student, LABELS)


@pytest.mark.parametrize(
    ("record", "split"),
    [
        ({"split": "image-level-leaky"}, "image-level-leaky"),
        ({"split": "ham10000-v1", "previous": [{"split": "image-level-leaky"}]}, "image-level-leaky"),
        (None, "an unknown split"),
    ],
)
def test_a_teacher_of_another_split_is_refused_before_data_is_loaded(
    two_releases: list[str], tmp_path: Path, record: dict | None, split_scheme: str
) -> None:
    teacher = tmp_path / "teacher"
    SkinVisionForImageClassification.from_pretrained(two_releases[0]).save_pretrained(teacher)
    if record:
        (teacher / "training.json").write_text(json.dumps(record))
    config = tiny_config(tmp_path / "run", data="/nowhere", distill=DistillConfig([str(teacher)]))
    with pytest.raises(DataError, match=f"teacher was trained on {split_scheme}, not on ham10000-v1"):
        run_training(config)
    with pytest.raises(
        ModelError, match=r"no release in .*gone; --distill\.teachers takes folders of finished releases"
    ):
        run_training(replace(config, distill=DistillConfig([str(tmp_path / "gone")])))
    assert not (tmp_path / "run").exists()


def test_a_network_learns_its_teachers_answers_and_not_the_labels(two_releases: list[str], tmp_path: Path) -> None:
    """A teacher that is certain of one diagnosis, whatever the image shows."""
    teacher = SkinVisionForImageClassification.from_pretrained(two_releases[0])
    with torch.no_grad():
        teacher.timm_model.get_classifier().weight.zero_()
        teacher.timm_model.get_classifier().bias.copy_(10.0 * torch.eye(7)[3])
    teacher.save_pretrained(tmp_path / "teacher")
    (tmp_path / "teacher" / "training.json").write_text(json.dumps({"split": "ham10000-v1"}))
    config = tiny_config(
        tmp_path / "run",
        distill=DistillConfig([str(tmp_path / "teacher")], logit_adjustment=0.0),
        loss=LossConfig(logit_adjustment=0.0, label_smoothing=0.0),
        head=PhaseConfig(train_backbone=False, epochs=1, learning_rate=0.05),
        finetune=PhaseConfig(epochs=1, learning_rate=1e-2),
    )
    folder = run_training(config)
    with torch.no_grad():
        answer = SkinVisionForImageClassification.from_pretrained(folder)(PIXELS).logits
    assert answer.argmax(1).tolist() == [3] * 4
    assert history(folder)[-1]["train_loss"] < 0.5
    record = json.loads((folder / "training.json").read_text())
    assert record["config"]["distill"] == {"teachers": ["teacher"], "logit_adjustment": 0.0, "weight": 1.0, "views": 1}
    assert record["teachers"] == [
        {"name": "teacher", "weights_sha256": sha256(tmp_path / "teacher" / "model.safetensors")}
    ]


def test_the_folders_of_teachers_may_move(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, distill=DistillConfig(["/old/a", "/old/b"]))
    assert_same_settings(replace(config, distill=DistillConfig(["/new/a", "b"])), asdict(config))
    with pytest.raises(DataError, match=r"--distill\.teachers"):
        assert_same_settings(replace(config, distill=DistillConfig(["/old/a"])), asdict(config))
