"""Zips of latents as EDM2 writes them: one .npy (channels, height, width) a file."""

import io
import zipfile
from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import load_array, open_source
from brenier.errors import FileError, InputError
from PIL import Image

LATENTS = torch.randn(12, 4, 3, 2, generator=torch.Generator().manual_seed(0)).numpy()


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def archive(folder: Path, latents: dict[int, np.ndarray]) -> Path:
    with zipfile.ZipFile(folder / "edm2.zip", "w") as handle:
        for k, latent in latents.items():
            handle.writestr(f"{k // 5:05}/img-mean-std-latents-{k:08}.npy", npy(latent))
        handle.writestr("dataset.json", '{"labels": null}')
    return folder / "edm2.zip"


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "u1"])
def test_latents_are_rows_in_the_order_of_names(tmp_path: Path, dtype: str) -> None:
    latents = LATENTS.astype(dtype) if dtype != "u1" else (LATENTS * 9 + 128).astype(dtype)
    path = archive(tmp_path, dict(reversed(list(enumerate(latents)))))
    expected = torch.from_numpy(latents.astype(np.float32)).flatten(1)
    source, loaded = open_source(path, value_range="raw"), load_array(path, value_range="raw")
    assert source.image_shape == loaded.image_shape == (4, 3, 2)
    assert torch.equal(source.read(0, 12), expected)
    assert torch.equal(source.read(5, 7), expected[5:7])
    assert torch.equal(loaded.array, expected)
    assert loaded.note.startswith("12 latents")


def test_fit_takes_them_in_memory(tmp_path: Path) -> None:
    found = brenier.fit(archive(tmp_path, dict(enumerate(LATENTS))), tol=0.5, progress=False)
    assert torch.equal(found.potential.targets, torch.from_numpy(LATENTS).flatten(1))


@pytest.mark.parametrize(
    ("odd", "match"),
    [
        (LATENTS[0].astype("f8"), "expected the type of"),
        (LATENTS[0][:3], "expected the shape of"),
        (np.full((4, 3, 2), np.nan, "f4"), "finite"),
        (LATENTS[0][0], "channels, height, width"),
        (LATENTS[0].astype("i8"), "floats or uint8"),
    ],
)
def test_a_latent_unlike_the_others_is_refused_by_name(tmp_path: Path, odd: np.ndarray, match: str) -> None:
    path = archive(tmp_path, {0: LATENTS[0], 1: LATENTS[1], 2: odd})
    with pytest.raises((FileError, InputError), match=f"00000002.npy.*{match}"):
        open_source(path).read(0, 3)
    with pytest.raises((FileError, InputError), match=match):
        load_array(path)


def test_arrays_beside_images_are_no_rows(tmp_path: Path) -> None:
    path = archive(tmp_path, {0: LATENTS[0]})
    content = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(content, "PNG")
    with zipfile.ZipFile(path, "a") as handle:
        handle.writestr("a.png", content.getvalue())
    assert open_source(path).shape == (1, 16)
