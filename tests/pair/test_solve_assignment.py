"""The drop-in for scipy's linear_sum_assignment."""

import brenier
import numpy as np
import pytest
import torch
from brenier.errors import EngineError, InputError
from brenier.pair import PairingStatus
from helpers.assignment_families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_matrix_of_numbers_gets_a_permutation_with_scipys_total(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    entry = st.floats(-1e12, 1e12) | st.sampled_from([0.0, -0.0, 1.0, 1e300, -1e300, 5e-324, -np.inf])
    scores = np.array(data.draw(st.lists(entry, min_size=n * n, max_size=n * n))).reshape(n, n)
    kept = scores.copy()
    try:
        rows, columns = linear_sum_assignment(scores, maximize=True)
    except ValueError:
        with pytest.raises(InputError, match="forbidden"):
            brenier.solve_assignment(scores)
        return
    pairing = brenier.solve_assignment(scores)
    assert sorted(pairing.permutation.tolist()) == list(range(n))
    scale = np.abs(scores[np.isfinite(scores)]).max()
    best = scores[rows, columns].sum()
    assert scores[rows, pairing.permutation].sum() == pytest.approx(best, rel=1e-9, abs=1e-12 * scale)
    assert (scores == kept).all()


@pytest.mark.parametrize("n", [1, 5, 40, 128, 129, 300])
@pytest.mark.parametrize("maximize", [True, False])
def test_result_fields_say_what_they_are(n: int, maximize: bool) -> None:
    scores = np.random.default_rng(n).standard_normal((n, n))
    pairing = brenier.solve_assignment(scores, maximize=maximize)
    columns = linear_sum_assignment(scores, maximize=maximize)[1]
    assert pairing.permutation.dtype == np.int64
    assert (pairing.permutation == columns).all()
    assert pairing.cost == pytest.approx(scores[np.arange(n), columns].sum(), rel=1e-12)
    assert pairing.cost_before == pytest.approx(np.trace(scores), rel=1e-9, abs=1e-9)
    assert pairing.gap == 0
    assert pairing.status is PairingStatus.OPTIMAL
    assert pairing.seconds > 0
    with pytest.raises(AttributeError):
        pairing.gap = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int32, torch.int64],
)
def test_tensors_of_every_type_come_back_as_tensors(dtype: torch.dtype) -> None:
    scores = (torch.rand(50, 50, generator=torch.Generator().manual_seed(1)) * 100).to(dtype)
    pairing = brenier.solve_assignment(scores)
    columns = linear_sum_assignment(scores.double().numpy(), maximize=True)[1]
    best = scores.double()[torch.arange(50), torch.from_numpy(columns)].sum().item()
    assert pairing.permutation.dtype == torch.int64
    assert pairing.cost == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("as_tensor", [True, False])
def test_a_batch_is_solved_matrix_by_matrix(as_tensor: bool) -> None:
    rng = np.random.default_rng(2)
    stack = np.stack([FAMILIES[name](37, rng) for name in ("normal", "images", "constant", "geometric")])
    pairing = brenier.solve_assignment(torch.from_numpy(stack) if as_tensor else stack)
    assert isinstance(pairing.permutation, torch.Tensor) == as_tensor
    assert tuple(pairing.permutation.shape) == (4, 37)
    for k in range(4):
        one = brenier.solve_assignment(stack[k])
        assert (np.asarray(pairing.permutation[k]) == one.permutation).all()
        assert pairing.cost[k] == one.cost
        assert pairing.cost_before[k] == one.cost_before


@pytest.mark.parametrize("shape", [(0, 0), (0, 5, 5), (3, 0, 0)])
def test_nothing_to_assign_is_an_empty_permutation(shape: tuple[int, ...]) -> None:
    pairing = brenier.solve_assignment(np.zeros(shape))
    assert pairing.permutation.shape == shape[:-1]
    assert pairing.status is PairingStatus.OPTIMAL


def test_a_gap_is_proved_and_said() -> None:
    scores = FAMILIES["images"](900, np.random.default_rng(3))
    best = brenier.solve_assignment(scores).cost
    pairing = brenier.solve_assignment(scores, gap=0.02)
    random_total = scores.mean() * 900
    assert pairing.status is PairingStatus.WITHIN_GAP
    assert 0 < pairing.gap <= 0.02
    assert (best - pairing.cost) / (best - random_total) <= pairing.gap


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.zeros((3, 4)), "square"),
        (np.zeros(3), "square"),
        (np.zeros((2, 3, 4)), "square"),
        (np.zeros((2, 2), complex), "real numbers"),
        (np.array([["a"]]), "real numbers"),
        ([[1.0, 2.0], [3.0]], "array of real numbers"),
        (np.array(1.0), "square"),
        (None, "scores: expected a tensor or an array of real numbers, got None"),
        (np.ma.masked_array(np.eye(2), np.eye(2)), "masked"),
        (torch.eye(2).to_sparse(), "dense"),
        (torch.eye(2, device="meta"), "meta"),
        (torch.eye(2, dtype=torch.complex64), "complex64"),
        (torch.eye(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (np.array([[1e308, -1e308], [-1e308, 1e308]]), "totals over a permutation that float64 holds"),
        (np.full((200, 200), 1e307), "totals over a permutation that float64 holds"),
        (np.array([[np.nan]]), "nan"),
        (np.array([[-np.inf]]), "forbidden"),
    ],
)
def test_bad_scores_are_input_errors(scores: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        brenier.solve_assignment(scores)


@pytest.mark.parametrize("gap", [-0.1, float("nan"), float("inf"), "small", None, True, 10**400])
def test_a_gap_that_is_no_share_is_an_input_error(gap: object) -> None:
    with pytest.raises(InputError, match="gap"):
        brenier.solve_assignment(np.zeros((2, 2)), gap=gap)  # type: ignore[arg-type]


@pytest.mark.parametrize("maximize", ["no", None, 2, 0.0, np.zeros(2)])
def test_maximize_is_yes_or_no(maximize: object) -> None:
    with pytest.raises(InputError, match="maximize: expected True or False"):
        brenier.solve_assignment(np.eye(2), maximize=maximize)  # type: ignore[arg-type]
    assert brenier.solve_assignment(np.eye(2), maximize=np.False_).cost == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [2, 200])
@pytest.mark.parametrize("maximize", [True, False])
def test_an_identity_with_a_forbidden_pair_has_an_infinite_cost(n: int, maximize: bool) -> None:
    forbidden = -np.inf if maximize else np.inf
    scores = np.random.default_rng(n).standard_normal((n, n))
    scores[0, 0] = forbidden
    pairing = brenier.solve_assignment(scores, maximize=maximize)
    assert pairing.cost_before == forbidden
    assert np.isfinite(pairing.cost)


@pytest.mark.parametrize("read", [lambda s: s[::-1], lambda s: s[:, ::-1], lambda s: s.astype(">f4")])
def test_matrices_that_torch_cannot_hold_are_solved(read: object) -> None:
    scores = read(np.random.default_rng(4).standard_normal((30, 30)).astype(np.float32))  # type: ignore[operator]
    columns = linear_sum_assignment(scores, maximize=True)[1]
    assert (brenier.solve_assignment(scores).permutation == columns).all()
    stack = np.stack([scores, scores])[::-1]
    assert (brenier.solve_assignment(stack).permutation == columns).all()


def test_engines_without_assignment_are_engine_errors() -> None:
    for engine in ("reference", "nonsense", ["cpu"], 1):
        with pytest.raises(EngineError):
            brenier.solve_assignment(np.zeros((2, 2)), engine=engine)  # type: ignore[arg-type]
    assert brenier.solve_assignment(np.eye(2), engine="cpu").cost == 2


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("n", [0, 1, 5, 200])
def test_linear_sum_assignment_is_a_drop_in_for_scipys(n: int, maximize: bool) -> None:
    costs = np.random.default_rng(n).standard_normal((n, n))
    rows, columns = brenier.pair.linear_sum_assignment(costs, maximize)
    expected = linear_sum_assignment(costs, maximize)
    assert (rows == expected[0]).all()
    assert (columns == expected[1]).all()
    assert rows.dtype == expected[0].dtype
    assert columns.dtype == expected[1].dtype
    listed = brenier.pair.linear_sum_assignment(costs.tolist() if n else costs, maximize=maximize)
    assert (listed[1] == columns).all()


@pytest.mark.parametrize("costs", [np.zeros((2, 3)), np.zeros((2, 2, 2)), [[np.nan]], [[np.inf]]])
def test_linear_sum_assignment_refuses_with_scipys_kind_of_error(costs: object) -> None:
    with pytest.raises(ValueError, match=r"expected|forbidden"):
        brenier.pair.linear_sum_assignment(costs)  # type: ignore[arg-type]
