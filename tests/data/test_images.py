"""Images come from folders and zips alike, and a bomb is refused before it grows."""

import contextlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from brenier.data import load_array
from brenier.errors import FileError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def picture(shape: tuple[int, ...] = (4, 5, 3), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1).reshape(-1)


def test_a_folder_and_its_zip_give_the_same_rows_sorted_by_name(tmp_path: Path) -> None:
    files = {"b.png": picture(), "sub/c.jpg": picture(kind="JPEG"), "a.png": picture(), "notes.txt": b"hello"}
    from_folder = load_array(folder_of(tmp_path / "images", files), value_range="uint8")
    from_zip = load_array(zip_of(tmp_path / "images.zip", files), value_range="uint8")
    assert from_folder.image_shape == from_zip.image_shape == (3, 4, 5)
    expected = np.stack([pixels_of(files[name]) for name in ("a.png", "b.png", "sub/c.jpg")])
    np.testing.assert_array_equal(from_folder.array.numpy(), expected)
    np.testing.assert_array_equal(from_zip.array.numpy(), expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "images.zip"]  # nothing was extracted


def test_grey_images_have_one_channel_and_default_to_minus_one_to_one(tmp_path: Path) -> None:
    loaded = load_array(folder_of(tmp_path, {"a.png": picture((6, 7))}))
    assert loaded.image_shape == (1, 6, 7)
    assert -1 <= loaded.array.min() < -0.5
    assert "-1..1: uint8 mapped" in loaded.note


def test_hidden_files_are_not_images(tmp_path: Path) -> None:
    files = {"a.png": picture(), "__MACOSX/a.png": b"junk", "._b.png": b"junk"}
    assert len(load_array(zip_of(tmp_path / "a.zip", files)).array) == 1


def test_mixed_shapes_are_refused_by_name(tmp_path: Path) -> None:
    files = {"a.png": picture((4, 5, 3)), "b.png": picture((5, 4, 3))}
    with pytest.raises(FileError, match=r"b\.png.*a\.png, 5 x 4 with 3 channels, got 4 x 5"):
        load_array(folder_of(tmp_path, files))


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 2)])
def test_transparency_is_refused_rather_than_dropped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(FileError, match="without transparency"):
        load_array(folder_of(tmp_path, {"a.png": picture(shape)}))


def test_sixteen_bits_are_refused_rather_than_cut(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(FileError, match="8-bit"):
        load_array(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_refused(tmp_path: Path, kind: str) -> None:
    whole = picture((40, 40, 3), kind)
    for keep in (0, 10, 40, len(whole) // 2):
        with pytest.raises(FileError, match=r"whole PNG or JPEG"):
            load_array(folder_of(tmp_path, {"a.png": whole[:keep]}))


def test_random_damage_never_escapes_the_error_family(tmp_path: Path) -> None:
    whole = bytearray(picture((8, 8, 3)))
    for seed in range(150):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            damaged[place] = rng.integers(256)
        with contextlib.suppress(FileError):
            load_array(folder_of(tmp_path, {"a.png": bytes(damaged)}))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(9_000, 9_000), (60_000, 60_000)])
def test_an_image_bomb_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(FileError):
        load_array(folder_of(tmp_path, {"a.png": bomb(*size)}))


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brenier.data.images.MAX_FILE", 1 << 20)
    path = zip_of(tmp_path / "a.zip", {"a.png": bytes(1 << 21)})
    assert path.stat().st_size < 10_000
    with pytest.raises(FileError, match="up to 1048576 bytes"):
        load_array(path)


def test_more_images_than_memory_are_refused_before_allocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 16)
    with pytest.raises(FileError, match=r"fit in half.*\.npy"):
        load_array(folder_of(tmp_path, {"a.png": picture((20, 20, 3))}))


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_zip_is_refused(tmp_path: Path, damage: str) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.png": picture((30, 30, 3))})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[200] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(FileError):
        load_array(path)
