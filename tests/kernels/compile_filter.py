"""compile_filter.py 80|90|100 narrow|wide|bytes|circles|rows: compile a part of the filters for a GPU that is not here.

A line for each kernel. Words after its name: mma, wgmma or tcgen05 (matrix units), shared (bytes asked for), registers,
and what the compiler spilled (bytes of local memory).
"""

import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import triton
from brenier.engine.filtered import ROOM
from brenier.engine.triton_filter import MORE_ROUNDS, ROUNDS
from brenier.engine.triton_int8 import ROOM as ROOM_OF_BYTES
from brenier.kernels import circles, filter8, noise, rescore
from brenier.kernels import filter as filters
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TYPES = {
    "packed": "*fp16", "bias": "*fp32", "scale": "*fp32", "slack": "*fp32", "best": "*i64", "count": "*i32",
    "index": "*i32", "estimate": "*fp32", "weights": "*fp32", "h": "*fp64", "winner_out": "*i64",
    "score_out": "*fp64", "rho": "fp32", "out": "*fp32", "turns": "*fp32", "floors": "*fp32", "lows": "*fp32",
}  # fmt: skip
BYTES = TYPES | {
    "packed": "*i8", "shift": "*fp32", "inverse": "*fp32", "dither": "*i32", "norm": "*fp32", "rest": "*fp32",
}  # fmt: skip
ALIGNED = {"x", "y", "packed", "width", "bias"}  # multiples of 16, as torch's memory and padded depths are
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def type_of(name: str, element: str, types: dict) -> str:
    if name in ("x", "y"):
        return f"*{element}"
    return types.get(name, "i64" if "stride" in name else "i32")


def compiled(
    kernel, constants: dict, warps: int, stages: int, capability: int, element: str, fused=True, types=TYPES
) -> object:
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else type_of(name, element, types) for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name in ALIGNED}
    source = ASTSource(kernel, signature, constants, aligned)
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": fused}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def resources(made: object) -> list[str]:
    """The compiler's report: registers, and what it spilled."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [f"{name}={value}" for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)]


def report(name: str, made: object) -> None:
    ptx = made.asm["ptx"]
    unit = "wgmma" if "wgmma.mma" in ptx else "tcgen05" if "tcgen05.mma" in ptx else "mma"
    matrix = unit if unit in ptx else "none"
    print(name, matrix, f"shared={made.metadata.shared}", *resources(made))


def tiles_of(config: filters.FilterConfig, rounds: int) -> dict[str, int]:
    return {
        "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
        "BLOCK_DEPTH": config.block_depth, "GROUP": config.group, "ROUNDS": rounds,
    }  # fmt: skip


def halves(capability: int, widths: tuple[int, ...]) -> None:
    """The filter for winners and for candidates, as triton_filter.py launches them."""
    for width in widths:
        config = filters.filter_configuration(65536, 65536, width, divmod(capability, 10))
        kernel = filters.narrow_filter if config.narrow else filters.wide_filter
        section = {} if config.narrow else {"SECTION": config.section}
        for rounds in (ROUNDS, MORE_ROUNDS):
            tiles = tiles_of(config, rounds) | section
            made = compiled(kernel, tiles, config.warps, config.stages, capability, "fp16")
            report(f"{kernel.fn.__name__}_{width}_{rounds}", made)


def int8(capability: int) -> None:
    for width in (3072, 320):  # on Hopper steps of 128 and of 64
        config = filter8.filter8_configuration(65536, 65536, width, divmod(capability, 10))
        tiles = tiles_of(config, MORE_ROUNDS)
        made = compiled(
            filter8.byte_filter, tiles, config.warps, config.stages, capability, "i8", types=BYTES
        )
        report(f"byte_filter_{width}", made)
    packing = {"ROWS": filter8.PACKED[0], "BLOCK": filter8.PACKED[1]}
    report("pack_bytes", compiled(filter8.pack_bytes, packing, 4, 3, capability, "fp32", False, BYTES))


def great_circles(capability: int) -> None:
    """Both passes, for the subspaces of a fit and for a depth that is summed in sections."""
    for width in (128, 8192):
        config = circles.circle_configuration(65536, 65536, width, divmod(capability, 10))
        tiles = {
            "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
            "BLOCK_DEPTH": config.block_depth, "SECTION": config.section, "GROUP": config.group,
        }  # fmt: skip
        for kernel in (circles.best_points, circles.list_points):
            types = TYPES | {"best": "*i32"}
            made = compiled(kernel, tiles, config.warps, config.stages, capability, "fp16", types=types)
            report(f"{kernel.fn.__name__}_{width}", made)


def rows(capability: int) -> None:
    packing = {"ROWS": rescore.PACKED[0], "BLOCK": rescore.PACKED[1]}
    report("pack_rows", compiled(rescore.pack_rows, packing, 4, 3, capability, "fp32"))
    for room, walk, element in product((ROOM, ROOM_OF_BYTES), (False, True), ("fp32", "fp16")):
        constants = {"ROOM": room, "BLOCK": rescore.DECIDED_TOGETHER, "WALK": walk}
        made = compiled(rescore.decide, constants, 4, 3, capability, element)
        report(f"decide_{room}_{walk}_{element}", made)
    made = compiled(noise.normals, {"BLOCK": noise.BLOCK}, 4, 1, capability, "fp32", fused=False)
    report("normals", made)
    assert "fma.rn.f32" not in made.asm["ptx"], "the normals would not have the bits of the CPU"


PARTS = {
    "narrow": lambda capability: halves(capability, filters.NARROW),
    "wide": lambda capability: halves(capability, (3072, 8192)),
    "bytes": int8,
    "circles": great_circles,
    "rows": rows,
}


if __name__ == "__main__":
    PARTS[sys.argv[2]](int(sys.argv[1]))
