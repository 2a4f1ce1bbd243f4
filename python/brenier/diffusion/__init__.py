"""A thin EDM stack: schedules, preconditioning, small networks, loss, samplers, training."""

from brenier.diffusion.dpm_ot import DPMOTSamples, sample_dpm_ot
from brenier.diffusion.heun import evaluations, sample_heun
from brenier.diffusion.loss import draw_sigma, edm_loss
from brenier.diffusion.networks import MLP, SmallUNet
from brenier.diffusion.precond import EDMPrecond
from brenier.diffusion.schedules import edm_sigmas
from brenier.diffusion.search import ScheduleSearch, search_schedule
from brenier.diffusion.train import TrainResult, train_edm

__all__ = [
    "MLP",
    "DPMOTSamples",
    "EDMPrecond",
    "ScheduleSearch",
    "SmallUNet",
    "TrainResult",
    "draw_sigma",
    "edm_loss",
    "edm_sigmas",
    "evaluations",
    "sample_dpm_ot",
    "sample_heun",
    "search_schedule",
    "train_edm",
]
