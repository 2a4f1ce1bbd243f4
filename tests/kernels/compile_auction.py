"""compile_auction.py 80|90|100: compile kernels/auction.py for that GPU without one; a line for each."""

import sys

from brenier.kernels import auction
from compile_filter import compiled, report

TYPES = {
    "x": "*fp16", "z": "*fp16", "out": "*fp32", "scores": "*fp32", "top": "*fp64", "units": "*fp64", "sign": "fp32",
    "cost": "*i32", "column_sum": "*i64", "price": "*i32", "bid": "*i64", "owner": "*i32", "column": "*i32",
    "list_column": "*i32", "list_cost": "*i32", "bound": "*i32", "control": "*i32", "least_out": "*i32",
    "reach": "*i32", "flags": "*i64",
}  # fmt: skip


def product_costs(size: int, capability: int) -> tuple:
    config = auction.product_configuration(size, divmod(capability, 10))
    tiles = {
        "BLOCK": config.block,
        "COLUMNS": config.columns,
        "BLOCK_DEPTH": config.depth,
        "GROUP": auction.GROUP,
    }
    return auction.product_costs, tiles, config.warps, config.stages


def main(capability: int) -> None:
    tiles = {"ROWS": 4, "LISTED": auction.LISTED}
    kernels = [
        (auction.products, {"BLOCK": 128, "BLOCK_DEPTH": 32, "PRECISION": "ieee"}, 8, 3),
        *(product_costs(size, capability) for size in (256, 16384)),
        (auction.quantise, {"ROWS": 16, "BLOCK": 128}, 4, 3),
        *(
            (auction.look, {"MODE": mode, **tiles}, 4, 3)
            for mode in (auction.BID, auction.SIFT, auction.LEAST)
        ),
        (auction.resolve, {"BLOCK": 256}, 4, 3),
    ]
    for kernel, constants, warps, stages in kernels:
        fused = kernel is not auction.quantise
        made = compiled(kernel, constants, warps, stages, capability, "fp16", fused, TYPES)
        report(f"{kernel.fn.__name__}_{constants.get('MODE', constants.get('COLUMNS', ''))}", made)


if __name__ == "__main__":
    main(int(sys.argv[1]))
