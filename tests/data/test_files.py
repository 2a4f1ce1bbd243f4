"""Files come in whole or not at all, and the message says why."""

from pathlib import Path

import numpy as np
import pytest
import torch
from brenier.data import load_array, open_source, save_array
from brenier.errors import FileError, InputError
from safetensors.torch import save_file

RNG = np.random.default_rng(0)


def write_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_npy_floats_arrive_as_float32_rows_unchanged(tmp_path: Path, dtype: str) -> None:
    values = RNG.standard_normal((7, 5)).astype(dtype)
    loaded = load_array(write_npy(tmp_path / "a.npy", values))
    assert loaded.array.dtype == torch.float32
    assert loaded.image_shape is None
    np.testing.assert_array_equal(loaded.array.numpy(), values.astype(np.float32))


def test_npy_float32_is_mapped_and_writing_to_it_leaves_the_file_alone(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a.npy", np.ones((4, 3), np.float32))
    before = path.read_bytes()
    load_array(path).array.zero_()
    assert path.read_bytes() == before


def test_fortran_order_keeps_rows(tmp_path: Path) -> None:
    values = np.asfortranarray(RNG.standard_normal((6, 2, 3, 4)).astype(np.float32))
    loaded = load_array(write_npy(tmp_path / "a.npy", values))
    assert loaded.image_shape == (2, 3, 4)
    np.testing.assert_array_equal(loaded.array.numpy(), values.reshape(6, -1))


def test_nhwc_is_turned_into_channels_first(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    loaded = load_array(write_npy(tmp_path / "a.npy", values), layout="nhwc", value_range="uint8")
    assert loaded.image_shape == (2, 4, 5)
    np.testing.assert_array_equal(loaded.array.numpy(), values.transpose(0, 3, 1, 2).reshape(3, -1))


@pytest.mark.parametrize(
    ("value_range", "expected"),
    [(None, [-1.0, 1.0]), ("-1..1", [-1.0, 1.0]), ("0..1", [0.0, 1.0]), ("raw", [0.0, 255.0])],
)
def test_uint8_goes_to_the_range_asked_for_and_the_note_says_so(
    tmp_path: Path, value_range: str | None, expected: list[float]
) -> None:
    path = write_npy(tmp_path / "a.npy", np.array([[0, 255]], np.uint8))
    loaded = load_array(path, value_range=value_range)
    assert loaded.array[0].tolist() == expected
    assert (value_range or "-1..1") in loaded.note


def test_floats_outside_the_range_claimed_are_refused(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a.npy", np.array([[0.0, 1.5]], np.float32))
    with pytest.raises(InputError, match=r"within 0\.\.1.*values from 0 to 1\.5"):
        load_array(path, value_range="0..1")
    with pytest.raises(InputError, match="uint8 values"):
        load_array(path, value_range="uint8")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_place(tmp_path: Path, bad: float) -> None:
    values = np.zeros((5, 3), np.float32)
    values[3, 2] = bad
    with pytest.raises(InputError, match=r"finite numbers.*\[3, 2\]"):
        load_array(write_npy(tmp_path / "a.npy", values))


def test_a_float64_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finite"):
        load_array(write_npy(tmp_path / "a.npy", np.array([[1e300]])))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2,), (2, 2, 2, 2, 2), ()])
def test_shapes_without_rows_of_numbers_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        load_array(write_npy(tmp_path / "a.npy", np.zeros(shape, np.float32)))


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, np.bool_, "U3"])
def test_types_without_an_agreed_range_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(FileError, match="floating-point numbers or uint8"):
        load_array(write_npy(tmp_path / "a.npy", np.zeros((2, 2), dtype)))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(FileError):
        load_array(path)


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_truncated_npy_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_npy(tmp_path / "a.npy", np.ones((50, 3), np.float32))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"whole \.npy"):
        load_array(path)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a.npy", np.ones((50, 3), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(50, 3)", b"(9999999999999, 3)")[:300])
    with pytest.raises(FileError):
        load_array(path)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".zip"])
def test_wrong_magic_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"not at all what the suffix says " * 20)
    with pytest.raises(FileError):
        load_array(path)


def test_unknown_suffix_missing_file_and_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 3")
    with pytest.raises(FileError, match=r"\.safetensors.*'\.txt'"):
        load_array(tmp_path / "a.txt")
    with pytest.raises(FileError, match="No such file"):
        load_array(tmp_path / "absent.npy")
    with pytest.raises(FileError, match="at least one PNG"):
        load_array(tmp_path)


def test_safetensors_gives_the_first_by_name_or_the_named_tensor(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"b": torch.ones(2, 3), "a": torch.zeros(4, 5, dtype=torch.bfloat16)}, path)
    assert load_array(path, tensor="b").array.shape == (2, 3)
    first = load_array(path)
    assert first.array.shape == (4, 5)
    assert first.array.dtype == torch.float32
    assert first.note.startswith("tensor 'a' of 2")
    with pytest.raises(FileError, match="a name among"):
        load_array(path, tensor="c")
    with pytest.raises(FileError, match="a name among"):
        load_array(path, tensor="")


@pytest.mark.parametrize("name", ["images", "zimages"])
def test_safetensors_of_several_tensors_are_the_same_rows_in_memory_and_streamed(
    name: str, tmp_path: Path
) -> None:
    """Their header is sorted by type, not by name."""
    path = tmp_path / "a.safetensors"
    save_file({name: torch.arange(60, dtype=torch.uint8).view(5, 3, 2, 2), "latents": torch.ones(5, 4)}, path)
    rows = load_array(path).array
    assert rows.shape == (5, 12 if name == "images" else 4)
    for tensor in (None, name, "latents"):
        loaded = load_array(path, tensor=tensor).array
        assert torch.equal(open_source(path, tensor=tensor).read(0, 5), loaded)
        assert torch.equal(load_array(tmp_path / "?.safetensors", tensor=tensor).array, loaded)


@pytest.mark.parametrize("keep", [0, 7, 30, -1])
def test_a_truncated_safetensors_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(20, 3)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match="whole"):
        load_array(path)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_saved_arrays_come_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    values = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    save_array(tmp_path / f"a{suffix}", values.T.contiguous().T)
    assert torch.equal(load_array(tmp_path / f"a{suffix}").array, values)


def test_saving_under_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"\.npy or \.safetensors"):
        save_array(tmp_path / "a.pkl", torch.ones(2, 2))
    assert list(tmp_path.iterdir()) == []
