"""compile_assign.py 80|90|100: compile every kernel for that GPU without one; a line for each.

Words after the kernel's name: fma (fused multiply-adds of the type it sums in), cubin (machine code made),
and, where something is wrong, tensor (matrix units, i.e. tf32) or flush (subnormal numbers are flushed).
"""

import sys

import triton
from brenier.kernels import assign
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TYPES = {
    "x": "*fp32", "y": "*fp32", "bias": "*fp32", "best_out": "*fp32", "threshold": "*fp32",
    "h": "*fp64", "out": "*fp64",
    "winner_out": "*i64", "row_list": "*i64", "starts": "*i64", "counts": "*i64", "indices": "*i64",
    "pair_row": "*i64", "pair_target": "*i64", "x_scale": "fp32", "y_scale": "fp32",
}  # fmt: skip


def type_of(name: str) -> str:
    return TYPES.get(name, "i64" if "stride" in name else "i32")


def compiled(kernel, constants: dict, warps: int, stages: int, capability: int) -> dict:
    signature = {name: "constexpr" if name in constants else type_of(name) for name in kernel.arg_names}
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    source = ASTSource(kernel, signature, constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm


def words(asm: dict, fma: str) -> list[str]:
    ptx = asm["ptx"]
    found = {"fma": fma in ptx, "cubin": len(asm["cubin"]) > 0, "tensor": "mma" in ptx or "tf32" in ptx}
    return [word for word, here in {**found, "flush": ".ftz" in ptx}.items() if here]


def main(capability: int) -> None:
    config = assign.configuration(65536, 65536, 3072, divmod(capability, 10))
    tiles = {
        "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
        "BLOCK_DEPTH": config.block_depth, "SECTION": config.section,
    }  # fmt: skip
    scans = [(assign.best_tiles, tiles), *((assign.list_tiles, {**tiles, "FILL": f}) for f in (False, True))]
    for kernel, constants in scans:
        asm = compiled(kernel, constants, config.warps, config.stages, capability)
        print(kernel.fn.__name__, *words(asm, "fma.rn.f32"))
    asm = compiled(assign.pair_scores, {"BLOCK_PAIRS": config.block_pairs}, 4, 1, capability)
    print(assign.pair_scores.fn.__name__, *words(asm, "fma.rn.f64"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
