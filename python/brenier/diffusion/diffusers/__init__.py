"""DPM-OT for Hugging Face diffusers; importing this module imports diffusers, importing brenier does not."""

from brenier.errors import require_package

require_package("diffusers", "diffusers")

from brenier.diffusion.diffusers.autoencoder import decode_latents, encode_images  # noqa: E402
from brenier.diffusion.diffusers.ot_map import OTMap  # noqa: E402
from brenier.diffusion.diffusers.pipeline import DPMOTPipeline  # noqa: E402
from brenier.diffusion.diffusers.scheduler import SchedulerProcess  # noqa: E402

__all__ = ["DPMOTPipeline", "OTMap", "SchedulerProcess", "decode_latents", "encode_images"]
