"""From images to predictions, whatever happens on the way, and the file that their metrics go to."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from ham10000_folder import write_ham10000
from PIL import Image

from skinvision_hf.data import load_ham10000
from skinvision_hf.data.loaders import make_loader
from skinvision_hf.data.transforms import eval_transform
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.evaluate import collect_logits, predict_dataset, symmetric_views
from skinvision_hf.evaluation.report import write_metrics
from skinvision_hf.models.modeling import SkinVisionForImageClassification


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_in_one_line_whoever_reads_it(
    model: SkinVisionForImageClassification, tmp_path: Path, num_workers: int
) -> None:
    data = load_ham10000(write_ham10000(tmp_path, masks=False))["test"]
    loader = make_loader(data, eval_transform(model.config.pretrained_cfg), batch_size=4, num_workers=num_workers)
    assert len(collect_logits(model, loader)[1]) == 7
    (broken,) = tmp_path.rglob(f"{data['image_id'][4]}.jpg")
    broken.write_bytes(broken.read_bytes()[:900])
    with pytest.raises(DataError) as caught:
        collect_logits(model, loader)
    message = str(caught.value)
    assert broken.name in message and message.endswith("download or export it again") and "\n" not in message
    next(tmp_path.rglob(f"{data['image_id'][5]}.jpg")).unlink()
    with pytest.raises(DataError, match=rf"2 images cannot be read: {', '.join(data['image_id'][4:6])}; the first: "):
        predict_dataset(model, data)


def test_predictions_keep_the_order_of_the_data_at_any_batch_size(
    model: SkinVisionForImageClassification, drawn: DatasetDict
) -> None:
    small, large = (predict_dataset(model, drawn["test"], batch_size=size) for size in (7, 64))
    assert small.image_ids == tuple(drawn["test"]["image_id"])
    assert small.labels.tolist() == drawn["test"]["label"][:]
    np.testing.assert_allclose(small.logits, large.logits, rtol=1e-4, atol=1e-5)

    transform = eval_transform(model.config.pretrained_cfg)
    with torch.no_grad():
        third = model.eval()(transform(drawn["test"][2]["image"].convert("RGB")).unsqueeze(0)).logits
    np.testing.assert_allclose(small.logits[2], third[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_network_comes_back_in_the_mode_it_was_in_after_a_failure(
    model: SkinVisionForImageClassification, drawn: DatasetDict
) -> None:
    loader = make_loader(drawn["test"].select(range(4)), eval_transform(model.config.pretrained_cfg), batch_size=4)
    model.freeze_backbone()
    model.train()
    before = [module.training for module in model.modules()]
    stop = model.timm_model.get_classifier().register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        collect_logits(model, loader)
    stop.remove()
    assert [module.training for module in model.modules()] == before
    assert len(set(before)) == 2


def test_sections_of_other_commands_stay_in_the_metrics(tmp_path: Path) -> None:
    write_metrics(tmp_path, {"a": 1, "b": 2})
    write_metrics(tmp_path, {"b": 3})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": 1, "b": 3}

    (tmp_path / "metrics.json").write_text("not json")
    with pytest.raises(DataError, match=r"is not a valid metrics\.json"):
        write_metrics(tmp_path, {"a": 1})
    assert (tmp_path / "metrics.json").read_text() == "not json"


def test_several_views_are_the_mean_of_the_answers_to_each(
    model: SkinVisionForImageClassification, drawn: DatasetDict
) -> None:
    few = drawn["test"].select(range(5))
    turned = few.map(lambda row: {"image": row["image"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)})
    plain, mirrored, both = (
        predict_dataset(model, images, views=views) for images, views in ((few, 1), (turned, 1), (few, 2))
    )
    mean = (plain.probabilities + mirrored.probabilities) / 2
    np.testing.assert_allclose(both.probabilities, mean, atol=2e-2)
    pixels = torch.rand(1, 3, 8, 8)
    assert len({view.numpy().tobytes() for view in symmetric_views(pixels, 8)}) == 8
    assert torch.equal(next(symmetric_views(pixels, 1)), pixels)
