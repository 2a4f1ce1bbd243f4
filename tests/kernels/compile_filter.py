"""compile_filter.py 80|90|100: compile the half-precision kernels for that GPU without one; a line for each.

Words after the kernel's name: mma or wgmma (matrix units, fp16), shared (bytes asked for), registers, and what the
compiler spilled (bytes of local memory).
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from brenier.kernels import filter as filters
from brenier.kernels import filter8, noise, rescore
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TYPES = {
    "packed": "*fp16", "bias": "*fp32", "scale": "*fp32", "slack": "*fp32", "best": "*i64", "count": "*i32",
    "index": "*i32", "estimate": "*fp32", "weights": "*fp32", "h": "*fp64", "winner_out": "*i64",
    "score_out": "*fp64", "rho": "fp32", "out": "*fp32",
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


def report(name: str, made: object) -> None:
    ptx = made.asm["ptx"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    facts = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage))
    unit = "wgmma" if "wgmma.mma" in ptx else "tcgen05" if "tcgen05.mma" in ptx else "mma"
    matrix = unit if unit in ptx else "none"
    print(name, matrix, f"shared={made.metadata.shared}", *(f"{k}={v}" for k, v in facts.items()))


def int8(capability: int) -> None:
    config = filter8.filter8_configuration(65536, 65536, 3072, divmod(capability, 10))
    constants = {
        "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
        "BLOCK_DEPTH": config.block_depth, "GROUP": config.group, "ROUNDS": 16,
    }  # fmt: skip
    warps, stages = config.warps, config.stages
    made = compiled(filter8.byte_filter, constants, warps, stages, capability, "i8", types=BYTES)
    report("byte_filter", made)
    packing = {"ROWS": filter8.PACKED[0], "BLOCK": filter8.PACKED[1]}
    report("pack_bytes", compiled(filter8.pack_bytes, packing, 4, 3, capability, "fp32", False, BYTES))


def main(capability: int) -> None:
    int8(capability)
    for width in (64, 128, 256, 3072, 8192):
        config = filters.filter_configuration(65536, 65536, width, divmod(capability, 10))
        constants = {
            "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
            "BLOCK_DEPTH": config.block_depth, "GROUP": config.group, "ROUNDS": 4,
            **({} if config.narrow else {"SECTION": config.section}),
        }  # fmt: skip
        kernel = filters.narrow_filter if config.narrow else filters.wide_filter
        made = compiled(kernel, constants, config.warps, config.stages, capability, "fp16")
        report(f"{kernel.fn.__name__}_{width}", made)
    packing = {"ROWS": rescore.PACKED[0], "BLOCK": rescore.PACKED[1]}
    report("pack_rows", compiled(rescore.pack_rows, packing, 4, 3, capability, "fp32"))
    for walk in (False, True):
        constants = {"ROOM": 64, "BLOCK": rescore.DECIDED_TOGETHER, "WALK": walk}
        report(f"decide_{walk}", compiled(rescore.decide, constants, 4, 3, capability, "fp32"))
    made = compiled(noise.normals, {"BLOCK": noise.BLOCK}, 4, 1, capability, "fp32", fused=False)
    report("normals", made)
    assert "fma.rn.f32" not in made.asm["ptx"], "the normals would not have the bits of the CPU"


if __name__ == "__main__":
    main(int(sys.argv[1]))
