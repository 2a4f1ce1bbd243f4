"""Diffusion models: schedules, preconditioning, small networks, loss, samplers, training."""

from brenier.diffusion.checkpoints import load_ncsnv2, load_weights, read_weights
from brenier.diffusion.ddim import VPSchedule, noise_of, sample_ddim, sample_ddpm
from brenier.diffusion.dpm_ot import DPMOTSamples, sample_dpm_ot, start_level
from brenier.diffusion.guidance import guided
from brenier.diffusion.heun import HeunSchedule, evaluations, sample_heun
from brenier.diffusion.langevin import LangevinSchedule, denoiser_of, sample_langevin, score_of
from brenier.diffusion.loss import draw_sigma, edm_loss
from brenier.diffusion.ncsnv2 import NCSNv2
from brenier.diffusion.networks import MLP, SmallUNet
from brenier.diffusion.precond import EDMPrecond
from brenier.diffusion.process import Level, ReverseProcess, first_noise
from brenier.diffusion.schedules import edm_sigmas
from brenier.diffusion.search import ScheduleSearch, search_schedule
from brenier.diffusion.train import TrainResult, train_edm

__all__ = [
    "MLP",
    "DPMOTSamples",
    "EDMPrecond",
    "HeunSchedule",
    "LangevinSchedule",
    "Level",
    "NCSNv2",
    "ReverseProcess",
    "ScheduleSearch",
    "SmallUNet",
    "TrainResult",
    "VPSchedule",
    "denoiser_of",
    "draw_sigma",
    "edm_loss",
    "edm_sigmas",
    "evaluations",
    "first_noise",
    "guided",
    "load_ncsnv2",
    "load_weights",
    "noise_of",
    "read_weights",
    "sample_ddim",
    "sample_ddpm",
    "sample_dpm_ot",
    "sample_heun",
    "sample_langevin",
    "score_of",
    "search_schedule",
    "start_level",
    "train_edm",
]
