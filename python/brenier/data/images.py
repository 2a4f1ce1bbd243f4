"""PNG and JPEG images from a folder or, in place, from a zip; sizes are checked before allocation."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.engine.machine import memory_bytes
from brenier.errors import FileError, require_package

SUFFIXES = (".png", ".jpg", ".jpeg")
LATENTS = ".npy"  # one array (channels, height, width) a file, as EDM2 writes latents into zips
MAX_PIXELS = 1 << 26  # of one image: 67 million, 8192 x 8192
MAX_FILE = 1 << 29  # bytes of one compressed image once out of its zip
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)  # what decoders raise
MODES = {"L": "L", "RGB": "RGB", "1": "L", "P": "RGB"}


@dataclass(frozen=True)
class ImageFile:
    """One image by name, and how to get its bytes."""

    name: str
    read: Callable[[], bytes]


def load_folder(folder: Path) -> tuple[Tensor, str]:
    """Images (n, channels, height, width) uint8 of a folder and its subfolders, sorted by name."""
    images = folder_images(folder)
    return _stack(images, str(folder)), f"{len(images)} images sorted by name"


def load_zip(archive: Path) -> tuple[Tensor, str]:
    """Images (n, channels, height, width) uint8, or latents, of a zip, sorted by name; nothing is extracted."""
    try:
        with zipfile.ZipFile(archive) as handle:
            images = zip_images(handle, archive)
            what = "latents" if decoder_of(images) is decode_latent else "images"
            return _stack(images, str(archive)), f"{len(images)} {what} sorted by name"
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise FileError(str(archive), expected="a whole zip archive", got=str(error)) from error


def folder_images(folder: Path) -> list[ImageFile]:
    """The images of a folder and its subfolders, sorted by name; none is decoded."""
    paths = sorted(
        p for p in folder.rglob("*") if _is_image(p.relative_to(folder).as_posix()) and p.is_file()
    )
    return [ImageFile(str(p), p.read_bytes) for p in paths]


def zip_images(handle: zipfile.ZipFile, archive: Path) -> list[ImageFile]:
    """The images of an open zip, or, where it has none, its latents, sorted by name; none is decoded."""
    by_name = sorted(handle.infolist(), key=lambda m: m.filename)
    members = [m for m in by_name if _is_image(m.filename)] or [
        m for m in by_name if _is_image(m.filename, (LATENTS,))
    ]
    return [ImageFile(f"{archive}:{m.filename}", _member(handle, m, archive)) for m in members]


def _is_image(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(suffixes) and not hidden


def _member(handle: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path) -> Callable[[], bytes]:
    """A reader that stops at the size the directory states: a lying header cannot fill the memory."""

    def read() -> bytes:
        if member.file_size > MAX_FILE or member.flag_bits & 1:
            got = "an encrypted one" if member.flag_bits & 1 else f"{member.file_size} bytes"
            raise FileError(
                f"{archive}:{member.filename}", expected=f"a plain image up to {MAX_FILE} bytes", got=got
            )
        with handle.open(member) as stream:
            return stream.read(member.file_size + 1)

    return read


def _stack(images: Sequence[ImageFile], where: str) -> Tensor:
    require_images(images, where)
    decoded = decoder_of(images)
    first = decoded(images[0])
    shape = (len(images), *first.shape)
    _require_memory(shape, first.itemsize, where)
    stacked = np.empty(shape, dtype=first.dtype)
    for row, image in enumerate(images):
        pixels = first if row == 0 else decoded(image)
        require_same_kind(image, pixels, images[0], first)
        stacked[row] = pixels
    return torch.from_numpy(stacked)


def require_images(images: Sequence[ImageFile], where: str) -> None:
    if not images:
        raise FileError(
            where, expected="at least one PNG or JPEG image, or in a zip .npy latents", got="none"
        )


def require_same_kind(image: ImageFile, pixels: np.ndarray, first: ImageFile, like: np.ndarray) -> None:
    """Refuse an image of another shape (channels, height, width) or type of numbers than the first."""
    if pixels.shape != like.shape:
        raise FileError(
            image.name,
            expected=f"the shape of {first.name}, {_shape(like.shape)}",
            got=_shape(pixels.shape),
            remedy="resize all images to one size and colour mode",
        )
    if pixels.dtype != like.dtype:
        raise FileError(
            image.name,
            expected=f"the type of {first.name}, {like.dtype}",
            got=str(pixels.dtype),
            remedy="write all samples in one type",
        )


def decode(image: ImageFile) -> np.ndarray:
    """Pixels (channels, height, width) uint8, as stored: no rotation, no colour management."""
    pillow = require_package("PIL.Image", "report")
    try:
        with pillow.open(io.BytesIO(image.read()), formats=("PNG", "JPEG")) as picture:
            _require_plain(picture, image.name)
            pixels = np.asarray(picture.convert(MODES[picture.mode]))
    except FileError:
        raise
    except (*DAMAGE, pillow.DecompressionBombError) as error:
        raise FileError(image.name, expected="a whole PNG or JPEG image", got=str(error)) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def decoder_of(images: Sequence[ImageFile]) -> Callable[[ImageFile], np.ndarray]:
    """What reads these files of a folder or zip."""
    return decode_latent if images and images[0].name.lower().endswith(LATENTS) else decode


def decode_latent(file: ImageFile) -> np.ndarray:
    """The array (channels, height, width) of a .npy file, floats or uint8."""
    array = decode_array(file)
    if array.ndim != 3 or (array.dtype.kind != "f" and array.dtype != np.uint8):
        expected = "(channels, height, width) of floats or uint8"
        raise FileError(file.name, expected=expected, got=f"{array.dtype} {array.shape}")
    return array


def decode_array(file: ImageFile) -> np.ndarray:
    """The array of a .npy file, in this machine's order of bytes; pickles are refused."""
    try:
        array = np.asarray(np.load(io.BytesIO(file.read()), allow_pickle=False))
    except (*DAMAGE, MemoryError) as error:
        raise FileError(file.name, expected="a whole .npy file of numbers", got=str(error)) from error
    return np.asarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def _require_plain(picture: Any, name: str) -> None:
    """The header alone decides; no pixel has been decoded yet."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise FileError(name, expected=f"at most {MAX_PIXELS} pixels", got=f"{width} x {height}")
    if picture.mode not in MODES or "transparency" in picture.info:
        raise FileError(
            name,
            expected="8-bit grey or RGB without transparency",
            got=f"mode {picture.mode}" + (" with transparency" if "transparency" in picture.info else ""),
            remedy="convert it first, so that what happens to alpha or 16 bits is your choice",
        )


def _require_memory(shape: tuple[int, ...], size: int, where: str) -> None:
    wanted = size * int(np.prod(shape, dtype=object))
    memory = memory_bytes()
    if wanted > memory // 2:
        raise FileError(
            where,
            expected=f"images that fit in half of this machine's {memory >> 20} MiB",
            got=f"{shape[0]} images, {wanted >> 20} MiB",
            remedy="store them as one .npy file, which is read without being loaded",
        )


def _shape(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return str(shape)
    channels, height, width = shape
    return f"{width} x {height} with {channels} channel" + ("s" if channels > 1 else "")
