"""Labels over a source that is larger than memory: one potential per class, read class by class."""

from pathlib import Path

import brenier
import numpy as np
import pytest
import torch
from brenier.data import ArraySource, NoisedLatents
from brenier.data.latents import SelectedRows, read_centred
from brenier.data.noise import Stream, normal
from brenier.errors import InputError
from brenier.solve import class_memory, fitting
from brenier.solve.result import Record
from brenier.solve.streamed_potential import StreamedPotential
from helpers import known_answers as problems

IMAGES = problems.image_like(150, 70)
LABELS = torch.arange(150) % 3 * 5 - 5  # -5, 0, 5: the classes are mixed
NOISE = normal(3, 0, 90, 70, stream=Stream.SAMPLE)


class Counting:
    """A source that counts how often each row is read."""

    def __init__(self, source: NoisedLatents | ArraySource) -> None:
        self.source, self.shape, self.dtype = source, source.shape, source.dtype
        self.reads = np.zeros(len(source), dtype=int)

    def __len__(self) -> int:
        return len(self.source)

    def read(self, lo: int, hi: int, out: torch.Tensor | None = None) -> torch.Tensor:
        self.reads[lo:hi] += 1
        return self.source.read(lo, hi, out)


@pytest.fixture(params=["classes fit in memory", "classes are streamed"])
def streamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the classes are streamed too; all targets together always are."""
    every = request.param == "classes are streamed"
    monkeypatch.setattr(fitting, "must_stream", lambda shape, *_: every or shape[0] > 100)
    return every


def source() -> NoisedLatents:
    return NoisedLatents(ArraySource(IMAGES), sigma=0.2, seed=3)


def fitted(targets: object = None, **options: object) -> brenier.solve.LabelledFitResult:
    return brenier.fit(targets or source(), labels=LABELS, tol=0.1, progress=False, **options)


def test_every_class_gets_the_bits_of_its_own_fit(streamed: bool) -> None:
    result = fitted()
    assert result.converged
    assert list(result.results) == [-5, 0, 5]
    for label, part in result.results.items():
        own = SelectedRows(source(), torch.nonzero(label == LABELS)[:, 0])
        alone = brenier.fit(own if streamed else own.read(0, len(own)), tol=0.1, progress=False)
        assert torch.equal(part.potential.heights, alone.potential.heights)
        assert isinstance(part.potential, StreamedPotential)
        assert part.sampling == alone.sampling


def test_classes_that_fit_in_memory_are_read_once() -> None:
    counting = Counting(source())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda shape, *_: shape[0] > 100)
        potential = fitted(counting).potential
    assert (counting.reads == 1).all()
    potential.assign(NOISE[:4], torch.full((4,), 5))
    assert (counting.reads == 1 + (LABELS == 5).numpy()).all()  # the other classes are not read


@pytest.mark.usefixtures("streamed")
def test_noise_goes_to_targets_of_its_own_label_as_it_does_in_memory() -> None:
    potential, asked = fitted().potential, torch.tensor([5, -5, 0]).repeat(30)
    matrix = source().materialise()
    winners = potential.assign(NOISE, asked)
    assert torch.equal(LABELS[winners], asked)
    assert torch.equal(potential.transport(NOISE, asked), matrix[winners])
    assert isinstance(potential.transport(NOISE.numpy(), asked.numpy()), np.ndarray)
    for label, part in potential.potentials.items():
        rows = asked == label
        whole = brenier.Potential.of(matrix[label == LABELS], part.heights)
        assert torch.equal(part.assign(NOISE[rows]), whole.assign(NOISE[rows]))
        assert torch.allclose(part.value(NOISE[rows]), whole.value(NOISE[rows]), rtol=1e-5)


class Stop:
    """Ctrl-C in the fit of the second class, which begins where samples fall."""

    def __init__(self) -> None:
        self.before, self.classes = 0, 1

    def __call__(self, record: Record) -> None:
        self.classes += record.samples <= self.before
        self.before = record.samples
        if self.classes == 2:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("streamed")
def test_ctrl_c_ends_all_classes_and_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    file, whole = tmp_path / "fit", fitted()
    with pytest.warns(UserWarning, match="interrupted"):
        broken = fitted(checkpoint=file, callback=Stop())
    assert broken.unfitted == (5,)
    assert torch.equal(broken.results[-5].potential.heights, whole.results[-5].potential.heights)
    assert {path.name for path in tmp_path.iterdir()} >= {"fit.label-5", "fit.label0"}
    assert not (tmp_path / "fit.label5").exists()
    resumed = fitted(checkpoint=file, resume=True)
    for label, part in whole.results.items():
        assert torch.equal(resumed.results[label].potential.heights, part.potential.heights)
        assert resumed.results[label].checks == part.checks


def test_masses_of_0_and_equal_targets_are_kept_through_a_file(tmp_path: Path) -> None:
    images, weights = IMAGES.clone(), torch.ones(150)
    images[3], weights[6] = images[0], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda shape, *_: shape[0] > 100)
        result = brenier.fit(ArraySource(images), labels=LABELS, weights=weights, tol=0.1, progress=False)
    potential = result.potential.potentials[-5]
    assert potential.heights[2] == -torch.inf
    potential.save(tmp_path / "p.safetensors")
    rows = SelectedRows(ArraySource(images), torch.nonzero(LABELS == -5)[:, 0])
    loaded = StreamedPotential.load(tmp_path / "p.safetensors", rows)
    winners = loaded.assign(NOISE)
    assert torch.equal(winners, potential.assign(NOISE))
    assert not {1, 2} & set(winners.tolist())  # the second of two equal ones, and the one without mass


@pytest.mark.usefixtures("streamed")
def test_memory_that_the_potentials_of_all_classes_fill_is_refused() -> None:
    kept = class_memory.TARGET_BYTES * 150 + class_memory.CENTRE_BYTES * 70 * 3
    with pytest.raises(InputError, match=f"more than {kept:,} bytes, for the potentials of 3 classes"):
        fitted(max_memory=kept)


def test_selected_rows_are_the_rows_of_their_indices_less_a_centre() -> None:
    index = torch.tensor([4, 5, 6, 2, 2, 149, 0])
    rows, centre, whole = SelectedRows(source(), index), torch.randn(70), source().materialise()
    assert torch.equal(rows.read(0, 7), whole[index])
    out = torch.empty(5, 70)
    assert rows.read(1, 6, out) is out
    assert torch.equal(out, whole[index[1:6]])
    read_centred(rows, 1, 6, centre, out)
    expected = source().read(0, 150, centre=centre)[index[1:6]]
    assert torch.equal(out, expected)
    assert rows.read(3, 3).shape == (0, 70)
    assert len(SelectedRows(source(), index[:0])) == 0
    for wrong in ([150], [-1, 3]):
        with pytest.raises(InputError, match="range"):
            SelectedRows(source(), torch.tensor(wrong))
