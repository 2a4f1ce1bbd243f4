"""Latent sources give the rows of what they stand for, in the range said, for any division into tiles."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data import (
    ArraySource,
    CallableSource,
    FlippedSource,
    LatentSource,
    NoisedLatents,
    open_source,
    raw_source,
)
from brenier.errors import FileError, InputError
from PIL import Image
from safetensors.torch import save_file

PIXELS = np.random.default_rng(0).integers(0, 256, (23, 3, 4, 5), dtype=np.uint8)
SIGNED = torch.from_numpy(PIXELS.reshape(23, 60)).float() / 127.5 - 1


def npy(folder: Path) -> LatentSource:
    np.save(folder / "x.npy", PIXELS)
    return open_source(folder / "x.npy", value_range="-1..1")


def memmap(folder: Path) -> LatentSource:
    np.save(folder / "x.npy", PIXELS)
    return ArraySource(np.load(folder / "x.npy", mmap_mode="r"), value_range="-1..1")


def raw(folder: Path) -> LatentSource:
    (folder / "x.bin").write_bytes(b"head" + PIXELS.tobytes())
    return raw_source(folder / "x.bin", shape=PIXELS.shape, dtype="uint8", offset=4, value_range="-1..1")


def shards(folder: Path) -> LatentSource:
    for k, (lo, hi) in enumerate([(0, 7), (7, 8), (8, 23)]):
        save_file({"a": torch.zeros(2), "x": torch.from_numpy(PIXELS[lo:hi])}, folder / f"s{k}.safetensors")
    return open_source(str(folder / "s*.safetensors"), value_range="-1..1", tensor="x")


def encoded(row: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(row.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


def folder(folder: Path) -> LatentSource:
    for k, row in enumerate(PIXELS):
        (folder / f"{k:03}.png").write_bytes(encoded(row))
    return open_source(folder, value_range="-1..1")


def archive(folder: Path) -> LatentSource:
    with zipfile.ZipFile(folder / "x.zip", "w") as handle:
        for k, row in enumerate(PIXELS):
            handle.writestr(f"{k // 10:02}/{k:03}.png", encoded(row))
    return open_source(folder / "x.zip", value_range="-1..1")


def function(_: Path) -> LatentSource:
    return CallableSource(
        lambda lo, hi: PIXELS[lo:hi], shape=PIXELS.shape, dtype=torch.uint8, value_range="-1..1"
    )


@pytest.mark.parametrize("make", [npy, memmap, raw, shards, folder, archive, function])
@pytest.mark.parametrize("tile", [1, 7, 22, 23])
def test_every_source_reads_the_same_rows_for_any_tile(make: object, tile: int, tmp_path: Path) -> None:
    source = make(tmp_path)  # type: ignore[operator]
    assert isinstance(source, LatentSource)
    assert (len(source), source.shape, source.dtype) == (23, (23, 60), torch.float32)
    assert source.image_shape == (3, 4, 5)
    out = torch.full((23, 60), float("nan"))
    for lo in range(0, 23, tile):
        hi = min(lo + tile, 23)
        assert source.read(lo, hi, out[lo:hi]).data_ptr() == out[lo:hi].data_ptr()
    assert torch.equal(out, SIGNED)
    assert torch.equal(source.read(0, 23), SIGNED)
    assert source.read(23, 23).shape == (0, 60)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_any_width_are_read_as_stored(dtype: torch.dtype, tmp_path: Path) -> None:
    values = SIGNED.to(dtype)
    save_file({"x": values}, tmp_path / "x.safetensors")
    assert torch.equal(open_source(tmp_path / "x.safetensors").read(2, 9), values[2:9].float())
    assert torch.equal(ArraySource(values).read(2, 9), values[2:9].float())


def test_the_range_is_what_was_said_and_floats_are_held_to_it() -> None:
    assert torch.equal(
        ArraySource(PIXELS, value_range="raw").read(0, 2), torch.from_numpy(PIXELS[:2]).flatten(1).float()
    )
    assert torch.equal(
        ArraySource(PIXELS, value_range="0..1").read(0, 2), torch.from_numpy(PIXELS[:2]).flatten(1) / 255
    )
    with pytest.raises(InputError, match=r"0\.\.1"):
        ArraySource(SIGNED, value_range="0..1").read(0, 2)
    with pytest.raises(InputError, match="value_range"):
        ArraySource(PIXELS, value_range="uint8")


def test_channels_last_images_are_put_channels_first() -> None:
    last = np.ascontiguousarray(PIXELS.transpose(0, 2, 3, 1))
    assert torch.equal(ArraySource(last, value_range="-1..1", layout="nhwc").read(3, 6), SIGNED[3:6])


@pytest.mark.parametrize("tile", [1, 3, 45, 46])
def test_flips_double_the_targets_and_latents_on_the_fly_keep_their_bits(tile: int, tmp_path: Path) -> None:
    flipped = FlippedSource(npy(tmp_path))
    mirrored = torch.from_numpy(PIXELS[..., ::-1].reshape(23, 60).copy()).float() / 127.5 - 1
    doubled = torch.stack([SIGNED, mirrored], 1).view(46, 60)
    expected = NoisedLatents(doubled, sigma=0.3, seed=4, scale=0.7)
    source = NoisedLatents(flipped, sigma=0.3, seed=4, scale=0.7)
    pieces = [source.read(lo, min(46, lo + tile)) for lo in range(0, 46, tile)]
    assert torch.equal(torch.cat(pieces), expected.materialise())
    rows = torch.tensor([45, 0, 1, 2, 2])
    assert torch.equal(source.take(rows), expected.take(rows))
    assert torch.equal(source.clean(rows), doubled[rows])


def test_bad_sources_are_refused_with_a_reason(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PIXELS)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-1])
    np.save(tmp_path / "fortran.npy", np.asfortranarray(SIGNED.numpy()))
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 30)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    for name in ("cut.npy", "fortran.npy", "bad.safetensors", "bad.zip", "absent.npy", "absent*.safetensors"):
        with pytest.raises(FileError, match=name.split(".")[0]):
            open_source(str(tmp_path / name))
    with pytest.raises(FileError, match="bytes"):
        raw_source(tmp_path / "x.npy", shape=(10_000, 60), dtype="<f4")
    with pytest.raises(InputError, match="out"):
        ArraySource(SIGNED).read(0, 2, torch.empty(3, 60))
    with pytest.raises(InputError, match="range"):
        ArraySource(SIGNED).read(3, 24)
    with pytest.raises(InputError, match="image_shape"):
        FlippedSource(ArraySource(SIGNED))
    wrong = CallableSource(lambda lo, _: SIGNED[lo:], shape=(23, 60), dtype=torch.float32, value_range="raw")
    with pytest.raises(InputError, match="function"):
        wrong.read(0, 3)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    source = npy(tmp_path)
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(FileError, match=r"x\.npy"):
        source.read(0, 23)
