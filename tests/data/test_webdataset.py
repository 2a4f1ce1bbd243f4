"""Shards in the layout of webdataset: a row for every sample, and what is no row is refused by name."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data import webdataset_source
from brenier.errors import FileError, InputError
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 4, 5, 3), dtype=np.uint8)


def npy(array: object, dtype: str = "f4") -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array, dtype))
    return content.getvalue()


def image(k: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS[k]).save(content, kind)
    return content.getvalue()


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path / "x.tar", "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path / "x.tar"


def test_images_of_all_kinds_are_rows_of_one_source(tmp_path: Path) -> None:
    path = shard(
        tmp_path, {"0.jpg": image(0, "JPEG"), "0.cls": b"1", "1.PNG": image(1), "2.jpeg": image(2, "JPEG")}
    )
    source = webdataset_source(path, value_range="raw")
    assert source.shape == (3, 60)
    assert torch.equal(
        source.read(1, 2)[0], torch.from_numpy(PIXELS[1].transpose(2, 0, 1).copy()).flatten().float()
    )
    assert torch.equal(
        webdataset_source(path, field="png;jpg;jpeg", value_range="raw").read(0, 3), source.read(0, 3)
    )


@pytest.mark.parametrize("field", [None, "png", "png;jpg"])
def test_a_sample_without_the_field_is_named(tmp_path: Path, field: str | None) -> None:
    path = shard(tmp_path, {"a/0.png": image(0), "a/0.cls": b"0", "a/1.cls": b"1", "a/2.png": image(2)})
    with pytest.raises(FileError, match=r"sample .*x\.tar:a/1: .*got files cls"):
        webdataset_source(path, field=field)


def test_files_of_a_sample_that_lie_apart_are_refused(tmp_path: Path) -> None:
    path = shard(tmp_path, {"0.png": image(0), "1.png": image(1), "0.cls": b"0"})
    with pytest.raises(FileError, match=r"x\.tar:0: .*side by side"):
        webdataset_source(path)


def test_of_several_fields_one_has_to_be_chosen(tmp_path: Path) -> None:
    path = shard(
        tmp_path, {"0.png": image(0), "0.jpg": image(1, "JPEG"), "1.png": image(2), "1.jpg": image(3, "JPEG")}
    )
    with pytest.raises(FileError, match=r"x\.tar:0: .*field="):
        webdataset_source(path)
    assert len(webdataset_source(path, field="png")) == 2
    with pytest.raises(InputError, match="field"):
        webdataset_source(path, field="webp")


def test_names_that_belong_to_no_sample_are_passed_over(tmp_path: Path) -> None:
    path = shard(tmp_path, {"README": b"x", "s/._0.png": b"mac", "__meta__.json": b"{}", "s/0.png": image(0)})
    assert len(webdataset_source(path)) == 1


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (npy([1, 2, 3], "f8"), r"1\.npy: expected the type of .*0\.npy, float32, got float64"),
        (npy([1, 2, 3], "u1"), r"1\.npy: expected the type"),
        (npy([1, 2], "f4"), r"1\.npy: expected the shape"),
        (npy([1, float("nan"), 3]), r"1\.npy: expected finite numbers, got nan"),
    ],
)
def test_an_array_unlike_the_first_or_with_nan_is_named_and_never_changed(
    tmp_path: Path, second: bytes, match: str
) -> None:
    path = shard(tmp_path, {"0.npy": npy([0, 0, 0]), "1.npy": second})
    with pytest.raises((FileError, InputError), match=match):
        webdataset_source(path, value_range="raw").read(0, 2)


def test_an_array_among_images_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path, {"0.png": image(0), "1.npy": npy([1, 2, 3])})
    with pytest.raises(FileError, match=r"1\.npy: expected an image"):
        webdataset_source(path)
