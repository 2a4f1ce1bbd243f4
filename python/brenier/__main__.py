"""``python -m brenier``, which is what torchrun starts: ``torchrun --nproc-per-node 2 -m brenier fit ...``."""

from brenier.cli.main import run

if __name__ == "__main__":
    run()
