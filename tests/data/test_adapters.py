"""Sources over other libraries' data: the rows are those of the data, and damage is named."""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data import LatentSource, huggingface_source, webdataset_source
from brenier.errors import FileError, InputError, MissingPackageError
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
SIGNED = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).reshape(7, 60).copy()).float() / 127.5 - 1


class Table:
    """What datasets.Dataset answers: a dict of lists for a slice."""

    column_names = ("image", "latent", "odd")

    def __len__(self) -> int:
        return 7

    def __getitem__(self, rows: slice) -> dict[str, list]:
        numbers = range(7)[rows]
        return {
            "image": [Image.fromarray(PIXELS[i]) for i in numbers],
            "latent": [[float(i), 0.5, -1.0] for i in numbers],
            "odd": [torch.zeros(3 if i else 2) for i in numbers],
        }


def shard(path: Path, numbers: range, kind: str = "png") -> Path:
    with tarfile.open(path, "w") as archive:
        for i in numbers:
            content = io.BytesIO()
            if kind == "npy":
                np.save(content, PIXELS[i].astype(np.float32))
            else:
                Image.fromarray(PIXELS[i]).save(content, "PNG")
            for name, data in ((f"s/{i:03d}.{kind}", content.getvalue()), (f"s/{i:03d}.cls", b"1")):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return path


def test_images_and_numbers_of_a_table_are_rows() -> None:
    source = huggingface_source(Table(), "image", value_range="-1..1")
    assert isinstance(source, LatentSource)
    assert source.image_shape == (3, 4, 5)
    assert torch.equal(source.read(0, 7), SIGNED)
    assert torch.equal(source.read(2, 4), SIGNED[2:4])
    numbers = huggingface_source(Table(), "latent", value_range="raw").read(3, 5)
    assert numbers.tolist() == [[3.0, 0.5, -1.0], [4.0, 0.5, -1.0]]


def test_absent_columns_and_uneven_rows_are_refused() -> None:
    with pytest.raises(InputError, match="column"):
        huggingface_source(Table(), "label", value_range="raw")
    with pytest.raises(InputError, match="as the first"):
        huggingface_source(Table(), "odd", value_range="raw").read(0, 3)


def test_a_folder_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match=r"brenier\[datasets\]"):
        huggingface_source("folder", "image", value_range="raw")


@pytest.mark.parametrize(("lo", "hi"), [(0, 7), (0, 0), (3, 5), (4, 7)])
def test_shards_are_read_in_order_and_in_place(tmp_path: Path, lo: int, hi: int) -> None:
    shard(tmp_path / "a-1.tar", range(4, 7))
    shard(tmp_path / "a-0.tar", range(4))
    source = webdataset_source(tmp_path / "a-*.tar", value_range="-1..1")
    assert len(source) == 7
    assert torch.equal(source.read(lo, hi), SIGNED[lo:hi])


def test_arrays_of_shards_are_rows_too(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", range(7), "npy")
    source = webdataset_source([path], field="npy", value_range="raw", layout="nhwc")
    expected = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).reshape(7, 60).astype(np.float32))
    assert torch.equal(source.read(0, 7), expected)


def test_damaged_compressed_and_empty_shards_are_refused(tmp_path: Path) -> None:
    whole = shard(tmp_path / "x.tar", range(7))
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:1800])
    with pytest.raises(FileError):
        webdataset_source(tmp_path / "cut.tar").read(0, 2)
    (tmp_path / "not.tar").write_bytes(b"\x1f\x8b" + bytes(3000))
    with pytest.raises(FileError, match="uncompressed tar"):
        webdataset_source(tmp_path / "not.tar")
    with pytest.raises(InputError, match="field"):
        webdataset_source(whole, field="cls")
    with pytest.raises(FileError, match="matching"):
        webdataset_source(str(tmp_path / "none-*.tar"))
    pickled = tmp_path / "pickled.tar"
    with tarfile.open(pickled, "w") as archive:
        content = io.BytesIO()
        np.save(content, np.array([{}], dtype=object), allow_pickle=True)
        entry = tarfile.TarInfo("0.npy")
        entry.size = len(content.getvalue())
        archive.addfile(entry, io.BytesIO(content.getvalue()))
    with pytest.raises(FileError, match="npy"):
        webdataset_source(pickled)
