"""What users pass by mistake is an InputError that names the argument; what numpy users mean is read."""

from collections.abc import Callable

import brenier
import numpy as np
import pytest
import torch
from brenier.engine import checks
from brenier.engine.soft import soft_counts
from brenier.errors import BrenierError, EngineError, InputError
from helpers.problems import normal

ROWS = torch.eye(4)
UNREADABLE = {
    "sparse_coo": lambda: ROWS.to_sparse(),
    "sparse_csr": lambda: ROWS.to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "meta": lambda: torch.eye(4, device="meta"),
    "complex": lambda: ROWS.to(torch.complex64),
    "conjugate": lambda: ROWS.to(torch.complex64).conj(),
    "quantised": lambda: torch.quantize_per_tensor(ROWS, 0.1, 0, torch.qint8),
    "float8": lambda: ROWS.to(torch.float8_e4m3fn),
    "complex array": lambda: np.eye(4, dtype=complex),
    "masked": lambda: np.ma.masked_array(np.eye(4, dtype=np.float32), np.eye(4)),
    "strings": lambda: np.full((4, 4), "a"),
    "objects": lambda: np.full((4, 4), None),
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "long double": lambda: np.eye(4, dtype=np.longdouble),
    "none": lambda: None,
    "dictionary": dict,
}
VERBS: dict[str, Callable[[object], object]] = {
    "x": lambda bad: brenier.assign(bad, ROWS),
    "y": lambda bad: brenier.prepare(bad),
    "h": lambda bad: brenier.candidates(ROWS, ROWS, bad, margin=0.1),
    "data": lambda bad: brenier.pair(bad, ROWS),
    "noise": lambda bad: brenier.pair(ROWS, bad),
    "scores": lambda bad: brenier.solve_assignment(bad),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("what", VERBS)
def test_what_holds_no_real_numbers_is_an_input_error_with_a_remedy(what: str, kind: str) -> None:
    if (what, kind) == ("h", "none"):
        return  # zeros
    with pytest.raises(InputError, match=rf"^{what}: expected .*, got .*; .+"):
        VERBS[what](UNREADABLE[kind]())


def test_none_is_answered_with_what_is_wanted() -> None:
    with pytest.raises(InputError, match="x: expected a tensor or an array of real numbers, got None"):
        brenier.assign(None, ROWS)  # type: ignore[arg-type]


def test_a_negated_view_is_read_as_its_values() -> None:
    view = torch.complex(ROWS, ROWS).conj().imag
    assert view.is_neg()
    assert torch.equal(brenier.assign(view, ROWS), brenier.assign(-ROWS, ROWS))


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize(
    "read",
    [
        lambda a: a[::-1].copy()[::-1],
        lambda a: a[:, ::-1].copy()[:, ::-1],
        lambda a: a.astype(">f4"),
        lambda a: np.frombuffer(a.tobytes(), np.float32).reshape(a.shape),
        lambda a: np.frombuffer(b"0" + a.tobytes(), np.uint8)[1:].view(np.float32).reshape(a.shape),
        lambda a: np.rec.fromarrays([a, np.zeros(a.shape, np.uint8)], names="v,w")["v"],
    ],
    ids=["rows reversed", "columns reversed", "big-endian", "read-only", "misaligned", "field"],
)
def test_every_array_layout_is_read(read: Callable[[np.ndarray], np.ndarray], engine: str) -> None:
    p = normal(9, 20, 7)
    x, y = read(p.x.numpy()), read(p.y.numpy())
    winners = brenier.assign(x, y, read(p.h.float().numpy()[:, None])[:, 0], engine=engine)
    assert (winners == brenier.assign(p.x, p.y, p.h.float(), engine=engine).numpy()).all()


def test_nested_lists_get_a_remedy_for_lists_and_heights_may_be_lists() -> None:
    with pytest.raises(InputError, match=r"numpy.asarray\(x, dtype='float32'\)"):
        brenier.assign([[1.0, 2.0]], ROWS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"convert with \.astype\('float32'\)"):
        brenier.assign(np.eye(4), ROWS)
    with pytest.raises(InputError, match=r"convert with \.float\(\)"):
        brenier.assign(ROWS.double(), ROWS)
    assert brenier.assign(ROWS, ROWS, [9.0, 0, 0, 0]).tolist() == [0, 0, 0, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "counts",
    [
        [0] * 4,
        np.zeros(4, np.int64),
        torch.zeros(1, dtype=torch.int64).expand(4),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(4, dtype=torch.int64, device="meta"),
        torch.zeros(4, dtype=torch.int64).to_sparse(),
    ],
)
def test_counts_that_cannot_be_added_to_are_an_input_error(counts: object) -> None:
    with pytest.raises(InputError, match="counts"):
        brenier.assign(ROWS, ROWS, counts=counts)  # type: ignore[arg-type]


def test_counts_made_in_inference_mode_are_an_input_error_outside_it() -> None:
    with torch.inference_mode():
        counts = torch.zeros(4, dtype=torch.int64)
        brenier.assign(ROWS, ROWS, counts=counts)
    with pytest.raises(InputError, match="inference mode"):
        brenier.assign(ROWS, ROWS, counts=counts)
    assert counts.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("engine", [["cpu"], [1], 1, {}, "", b"cpu"])
def test_an_engine_that_is_no_name_is_an_engine_error(engine: object) -> None:
    with pytest.raises(EngineError, match="engine: expected one of"):
        brenier.assign(ROWS, ROWS, engine=engine)  # type: ignore[arg-type]
    with pytest.raises(BrenierError):
        brenier.assign(ROWS, brenier.prepare(ROWS), engine=engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("margin", [True, 10**400, -1, float("nan"), float("inf"), "1", None, 1j])
def test_a_margin_that_is_no_number_is_an_input_error(margin: object) -> None:
    with pytest.raises(InputError, match=r"margin: expected a finite number ≥ 0, got .{1,90};"):
        brenier.candidates(ROWS, ROWS, margin=margin)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="epsilon: expected a finite number > 0"):
        soft_counts(brenier.candidates(ROWS, ROWS, margin=1), 4, margin)  # type: ignore[arg-type]


def test_a_margin_too_long_to_print_is_an_input_error() -> None:
    with pytest.raises(InputError, match="got a value of type int"):
        brenier.candidates(ROWS, ROWS, margin=10**5000)


@pytest.mark.parametrize("bad", [[1.0], [np.nan, 0.0], [0.0, np.inf]])
def test_heights_are_called_what_the_caller_calls_them(bad: list[float]) -> None:
    with pytest.raises(InputError, match=r"^g: expected"):
        checks.heights(bad, 2, torch.device("cpu"), "g")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "kind", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint64, int, float]
)
def test_numbers_of_any_type_are_compared_without_a_warning(kind: type) -> None:
    assert checks.number(kind(1), "gap", positive=True) == 1.0
    assert type(checks.number(kind(0), "gap")) is float
    with pytest.raises(InputError, match="> 0"):
        checks.number(kind(0), "gap", positive=True)


@pytest.mark.parametrize(
    "bad", [10**400, -1, np.float16(np.inf), np.float32(np.nan), -1e-300, True, np.bool_(1), "1"]
)
def test_what_is_no_finite_number_is_refused(bad: object) -> None:
    with pytest.raises(InputError, match="finite number"):
        checks.number(bad, "gap")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_gap_of_a_narrow_numpy_type_is_a_gap(kind: type) -> None:
    data = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    assert brenier.pair(data, data.flip(0), gap=kind(1e-3)).gap <= 1.001e-3
    assert brenier.solve_assignment(data @ data.T, gap=kind(1e-3)).gap <= 1.001e-3
