"""The CUDA compiler's resource report and the machine code: accumulators in registers, Hopper's own instructions."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from brenier.engine.cuda import why_module_missing
from brenier.engine.cuda_filter import module

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SOURCES = ["scan", "filter_sm80", "rows", "noise", "auction"]
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[0-9T]+ )?([A-Z][A-Z0-9_.]+)")
COMPILED = [("filter_sm90", "90a"), *((source, arch) for source in SOURCES for arch in ("80", "90a", "100"))]


def disassembler() -> str | None:
    """cuobjdump of the toolkit, or the one that comes with Triton."""
    try:
        import triton
    except ImportError:
        return shutil.which("cuobjdump")
    beside = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return str(beside) if beside.exists() else shutil.which("cuobjdump")


needs_built = pytest.mark.skipif(
    why_module_missing() is not None or disassembler() is None, reason="no brenier._cuda, or no cuobjdump"
)


@cache
def dumped(*options: str) -> str:
    command = [str(disassembler()), *options, module().__file__]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def kernels_of(architecture: str) -> dict[str, dict[str, int]]:
    """Resources of every kernel of the built module, by its mangled name."""
    report = dumped("--dump-resource-usage")
    found = {}
    for part in report.split("Fatbin elf code:")[1:]:
        if f"arch = {architecture}\n" in part:
            for name, line in re.findall(r"Function (\S+):\n\s*(.*)", part):
                found[name] = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
    return found


@needs_built
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
def test_no_kernel_of_the_module_keeps_anything_in_local_memory(architecture: str) -> None:
    if architecture.removeprefix("sm_") not in module().architectures:
        pytest.skip(f"not built for {architecture}")
    kernels = kernels_of(architecture)
    auctions = ("block_auction", "cluster_auction", "grid_auction", "range_kernel", "cost_kernel")
    filters = ("filter_kernel", "pack_kernel", "decide_kernel", "pair_kernel")
    for name in ("scan", *filters, "normal_kernel", *auctions):
        assert any(name in kernel for kernel in kernels), f"{name} is missing"
    assert {name: use for name, use in kernels.items() if use["STACK"] + use["LOCAL"] > 0} == {}


@needs_built
def test_the_hopper_kernels_use_the_copy_engine_and_warpgroup_products() -> None:
    if "90a" not in module().architectures:
        pytest.skip("not built for sm_90a")
    code = dumped("-sass", "-arch", "sm_90a")
    bodies = re.split(r"Function : ", code)[1:]
    hopper = [body for body in bodies if "Shape" in body.split("\n")[0]]
    assert len(hopper) == 5
    for body in hopper:
        assert re.search(r"HGMMA\.64x(128|256)x16\.F32", body)
        assert "UTMALDG.2D" in body
        assert "SYNCS" in body  # barriers in shared memory
        assert "USETMAXREG" in body
        assert not re.search(r"\b(LDL|STL)\b", body)


@needs_built
def test_consumers_ask_for_no_more_registers_than_the_block_was_given() -> None:
    """384 threads as compiled; then 128 keep 40 and 256 take 232: asking for more would wait for ever."""
    if "90a" not in module().architectures:
        pytest.skip("not built for sm_90a")
    given = [use["REG"] for name, use in kernels_of("sm_90a").items() if "Shape" in name]
    assert len(given) == 5
    assert all(384 * registers >= 128 * 40 + 256 * 232 for registers in given)


@needs_built
def test_a_score_of_the_hopper_subspace_kernels_costs_one_multiply_add_and_half_an_and() -> None:
    """Between the last product of a tile and the vote that ends its epilogue, and before the first product."""
    if "90a" not in module().architectures:
        pytest.skip("not built for sm_90a")
    seen = set()
    for body in re.split(r"Function : ", dumped("-sass", "-arch", "sm_90a"))[1:]:
        shape = re.search(r"ShapeILi(128|256)ELi[124]E", body.split("\n")[0])
        if shape is None:
            continue
        sums = int(shape[1]) // 2
        code = [word.split(".")[0] for word in INSTRUCTION.findall(body)]
        products = [k for k, word in enumerate(code) if word == "HGMMA"]
        epilogue = code[products[-1] : code.index("VOTE", products[-1])]
        begin = code[max(0, products[0] - 400) : products[0]]
        assert epilogue.count("LOP3") <= sums // 2 + 4
        assert not {"FMNMX", "FSETP", "FADD", "FFMA"} & set(epilogue)
        assert begin.count("FFMA") == sums
        assert begin.count("LDS") <= sums // 4 + 4
        seen.add(shape[0])
    assert len(seen) == 3


@needs_built
@pytest.mark.parametrize(("architecture", "product", "rows"), [("sm_90a", "HGMMA", 2), ("sm_80", "HMMA", 4)])
def test_the_lanes_that_share_a_row_take_its_bar_from_one_of_them(
    architecture: str, product: str, rows: int
) -> None:
    """Before the first product: a best that others raise may be read as two values by two lanes."""
    if architecture.removeprefix("sm_") not in module().architectures:
        pytest.skip(f"not built for {architecture}")
    kernels = [
        [word.split(".")[0] for word in INSTRUCTION.findall(body)]
        for body in re.split(r"Function : ", dumped("-sass", "-arch", architecture))[1:]
        if "filter_kernel" in body.split("\n")[0]
    ]
    filters = [code for code in kernels if product in code]
    assert filters
    assert all(code[: code.index(product)].count("SHFL") >= rows for code in filters)


@needs_built
@pytest.mark.parametrize(("architecture", "barrier"), [("sm_90a", "UCGABAR_WAIT"), ("sm_80", "BAR.SYNC")])
def test_the_auctions_reduce_in_registers_and_wait_where_they_should(architecture: str, barrier: str) -> None:
    if architecture.removeprefix("sm_") not in module().architectures:
        pytest.skip(f"not built for {architecture}")
    code = dumped("-sass", "-arch", architecture)
    named = [(body.split("\n")[0], body) for body in re.split(r"Function : ", code)[1:]]
    bodies = [body for name, body in named if re.search("(block|cluster|grid)_auction", name)]
    assert len(bodies) == 3
    for body in bodies:
        assert "REDUX" in body  # a warp's least in one instruction
        assert not re.search(r"\b(LDL|STL)\b", body)
    clusters = next(body for body in bodies if "cluster_auction" in body.split("\n")[0])
    assert barrier in clusters


@needs_built
def test_the_general_kernel_multiplies_halves_on_tensor_cores() -> None:
    if "80" not in module().architectures:
        pytest.skip("not built for sm_80")
    code = dumped("-sass", "-arch", "sm_80")
    general = [body for body in re.split(r"Function : ", code)[1:] if "filter_kernel" in body.split("\n")[0]]
    ampere = [body for body in general if "Shape" not in body.split("\n")[0]]
    assert ampere
    for body in ampere:
        assert "HMMA.16816.F32" in body
        assert "LDGSTS" in body  # asynchronous copies
        assert "LDSM" in body


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on the PATH")
@pytest.mark.parametrize(("source", "architecture"), COMPILED)
def test_kernels_spill_nothing_and_warn_of_nothing(source: str, architecture: str, tmp_path: Path) -> None:
    target = f"-gencode=arch=compute_{architecture},code=sm_{architecture}"
    options = ["-std=c++17", "-O3", "-cubin", target, "-Xptxas", "-v", f"-I{CSRC}"]
    command = ["nvcc", *options, "-o", str(tmp_path / "x.cubin"), str(CSRC / "cuda" / f"{source}.cu")]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    assert spills
    assert set(spills) == {("0", "0", "0")}, report
    assert "warning" not in report.lower(), report
    assert "Performance Loss" not in report, report  # products one after the other, or setmaxnreg ignored
