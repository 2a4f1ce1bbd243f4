"""Data on disk and made on the fly: files in, files out, noised latents, the digits."""

from brenier.data.atomic import replacing, require_writable
from brenier.data.digits import Digits, load_digits
from brenier.data.files import Loaded, load_array, save_array
from brenier.data.latents import NoisedLatents
from brenier.data.noise import Stream, integers, normal, unit_vectors

__all__ = [
    "Digits",
    "Loaded",
    "NoisedLatents",
    "Stream",
    "integers",
    "load_array",
    "load_digits",
    "normal",
    "replacing",
    "require_writable",
    "save_array",
    "unit_vectors",
]
