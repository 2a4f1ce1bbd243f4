"""The sampler of torchcfm with a one-to-one pairing inside: a script changes one import."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.errors import InputError
from brenier.pair.pairing import pair
from brenier.types import Array


class OTPlanSampler:
    """torchcfm.optimal_transport.OTPlanSampler, exact, one to one, with the order of x1 kept.

        from brenier.pair import OTPlanSampler  # was: from torchcfm.optimal_transport import OTPlanSampler
        matcher.ot_sampler = OTPlanSampler()  # for matchers of torchcfm, which make their own

    Where torchcfm draws `batch` pairs from the plan with replacement and so leaves out a third of the rows, every row
    of x0 and x1 is returned once. Nothing is drawn: no random state is used.

    method : "exact"; other plans are not one to one
    within_labels : pair within each class of y1, in sample_plan_with_labels
    gap : as in brenier.pair
    reg, reg_m, normalize_cost, num_threads, warn : taken and not used: they change no exact plan

    Raises InputError.
    """

    def __init__(
        self,
        method: str = "exact",
        reg: float = 0.05,
        reg_m: float = 1.0,
        normalize_cost: bool = False,
        num_threads: int | str = 1,
        warn: bool = True,
        *,
        within_labels: bool = False,
        gap: float = 0.0,
    ) -> None:
        del reg, reg_m, normalize_cost, num_threads, warn
        if method != "exact":
            remedy = "keep torchcfm's sampler for regularised plans"
            raise InputError("method", expected="'exact'", got=repr(method), remedy=remedy)
        self.within_labels, self.gap = within_labels, gap

    def get_map(self, x0: Tensor, x1: Tensor) -> np.ndarray:
        """The plan, float64 (B, B): 1/B where row i of x0 is paired with row j of x1, else 0."""
        order = self._order(x0, x1)
        plan = np.zeros((len(x0), len(x1)))
        plan[order.cpu(), np.arange(len(x1))] = 1 / max(1, len(x1))
        return plan

    def sample_map(self, pi: Array, batch_size: int, replace: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (i, j) of a plan of get_map, in the order of j; replace is not used."""
        del replace
        plan = np.asarray(pi)
        if plan.shape != (batch_size, batch_size):
            expected = f"shape ({batch_size}, {batch_size}) of get_map, and its number of rows"
            raise InputError("pi and batch_size", expected=expected, got=f"shape {plan.shape}")
        return plan.argmax(axis=0), np.arange(batch_size)

    def sample_plan(self, x0: Tensor, x1: Tensor, replace: bool = False) -> tuple[Tensor, Tensor]:
        """x0 in the order of its partners, and x1 as it is; replace is not used."""
        del replace
        return x0[self._order(x0, x1)], x1

    def sample_plan_with_labels(
        self, x0: Tensor, x1: Tensor, y0: Any = None, y1: Any = None, replace: bool = False
    ) -> tuple[Tensor, Tensor, Any, Any]:
        """sample_plan, with y0 in the order of x0 and y1 as it is."""
        del replace
        order = self._order(x0, x1, y1 if self.within_labels else None)
        return x0[order], x1, None if y0 is None else y0[order], y1

    def sample_trajectory(self, X: Tensor) -> np.ndarray:
        """Rows (B, T, ...) re-ordered at every time but the first, so that each is paired with the one before."""
        steps = [X[:, 0]]
        for t in range(1, X.shape[1]):
            steps.append(X[:, t][self._order(X[:, t], steps[-1])])
        return torch.stack(steps, dim=1).cpu().numpy()

    def _order(self, x0: Tensor, x1: Tensor, labels: Any = None) -> Tensor:
        return torch.as_tensor(pair(x1, x0, labels=labels, gap=self.gap).permutation)
