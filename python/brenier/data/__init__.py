"""Data on disk and made on the fly: files in, files out, noised latents, the digits."""

from brenier.data.adapters import huggingface_source, webdataset_source
from brenier.data.atomic import replacing, require_writable
from brenier.data.digits import Digits, load_digits
from brenier.data.file_sources import BlockSource, ImageSource, raw_source
from brenier.data.files import Loaded, load_array, save_array
from brenier.data.latents import NoisedLatents
from brenier.data.noise import Stream, integers, normal, unit_vectors
from brenier.data.sources import ArraySource, CallableSource, FlippedSource, LatentSource, open_source

__all__ = [
    "ArraySource",
    "BlockSource",
    "CallableSource",
    "Digits",
    "FlippedSource",
    "ImageSource",
    "LatentSource",
    "Loaded",
    "NoisedLatents",
    "Stream",
    "huggingface_source",
    "integers",
    "load_array",
    "load_digits",
    "normal",
    "open_source",
    "raw_source",
    "replacing",
    "require_writable",
    "save_array",
    "unit_vectors",
    "webdataset_source",
]
