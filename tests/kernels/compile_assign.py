"""compile_assign.py 80|90|100: compile every kernel for that GPU without one; a line for each.

Words after the kernel's name: fma (fused multiply-adds of the type it sums in), cubin (machine code made), where
something is wrong tensor (matrix units, i.e. tf32) or flush (subnormal numbers are flushed); and the resources.
"""

import sys

from brenier.kernels import assign
from compile_filter import compiled, resources

TYPES = {
    "x": "*fp32", "y": "*fp32", "bias": "*fp32", "best_out": "*fp32", "threshold": "*fp32",
    "h": "*fp64", "out": "*fp64",
    "winner_out": "*i64", "row_list": "*i64", "starts": "*i64", "counts": "*i64", "indices": "*i64",
    "pair_row": "*i64", "pair_target": "*i64", "x_scale": "fp32", "y_scale": "fp32",
}  # fmt: skip


def words(asm: dict, fma: str) -> list[str]:
    ptx = asm["ptx"]
    found = {"fma": fma in ptx, "cubin": len(asm["cubin"]) > 0, "tensor": "mma" in ptx or "tf32" in ptx}
    return [word for word, here in {**found, "flush": ".ftz" in ptx}.items() if here]


def main(capability: int) -> None:
    config = assign.configuration(65536, 65536, divmod(capability, 10))
    tiles = {
        "BLOCK_ROWS": config.block_rows, "BLOCK_TARGETS": config.block_targets,
        "BLOCK_DEPTH": config.block_depth, "SECTION": config.section,
    }  # fmt: skip
    scans = [(assign.best_tiles, tiles), *((assign.list_tiles, {**tiles, "FILL": f}) for f in (False, True))]
    pairs = (assign.pair_scores, {"BLOCK_PAIRS": config.block_pairs})
    for kernel, constants in [*scans, pairs]:
        warps, fma = (4, "fma.rn.f64") if kernel is assign.pair_scores else (config.warps, "fma.rn.f32")
        made = compiled(kernel, constants, warps, config.stages, capability, "fp32", types=TYPES)
        print(kernel.fn.__name__, *words(made.asm, fma), *resources(made))


if __name__ == "__main__":
    main(int(sys.argv[1]))
