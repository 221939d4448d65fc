"""From images to predictions: what a broken image does on the way."""

from pathlib import Path

import pytest
from ham10000_folder import some_rows, write_metadata, write_pictures

from skinvision_hf.data import load_ham10000
from skinvision_hf.errors import DataError
from skinvision_hf.evaluation import predict_dataset
from skinvision_hf.modeling import SkinVisionForImageClassification


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_in_one_line_whoever_reads_it(
    tiny_release: Path, tmp_path: Path, num_workers: int
) -> None:
    write_pictures(tmp_path, some_rows(), masks=False)
    write_metadata(tmp_path / "HAM10000_metadata.csv", some_rows())
    data = load_ham10000(tmp_path)["test"]
    model = SkinVisionForImageClassification.from_pretrained(tiny_release)
    assert len(predict_dataset(model, data, num_workers=num_workers).labels) == 7
    (broken,) = tmp_path.rglob(f"{data['image_id'][4]}.jpg")
    broken.write_bytes(broken.read_bytes()[:900])
    with pytest.raises(DataError) as caught:
        predict_dataset(model, data, num_workers=num_workers)
    message = str(caught.value)
    assert message.startswith(f"the image {broken.stem} cannot be read (image file is truncated")
    assert message.endswith("; download or extract it again") and "\n" not in message
