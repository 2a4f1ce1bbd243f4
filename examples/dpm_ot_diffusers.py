"""A diffusers pipeline that starts from mapped latents: train a tiny UNet2DModel, fit its map, save, load, draw.

python examples/dpm_ot_diffusers.py     (pip install 'brenier[diffusers]'; about a minute on a laptop CPU)
"""

import brenier
import brenier.errors
import torch
from brenier.data import NoisedLatents, load_digits
from brenier.diffusion import start_level
from brenier.diffusion.diffusers import DPMOTPipeline, OTMap, SchedulerProcess
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel

STEPS, LAST = 20, 8
torch.manual_seed(0)
images = load_digits().images.reshape(-1, 1, 8, 8)  # in [-1, 1]

# any trained UNet2DModel or UNet2DConditionModel takes the place of this one
unet = UNet2DModel(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    layers_per_block=1,
    block_out_channels=(16, 32),
    norm_num_groups=8,
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
)
noising, optimizer = DDPMScheduler(), torch.optim.Adam(unet.parameters(), lr=2e-3)
for _ in range(300):
    clean = images[torch.randint(len(images), (64,))]
    noise, times = torch.randn_like(clean), torch.randint(1000, (64,))
    predicted = unet(noising.add_noise(clean, noise, times), times).sample
    loss = ((predicted - noise) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss:.3f}")

scheduler = DDIMScheduler.from_config(noising.config)
level = start_level(SchedulerProcess(scheduler, STEPS), LAST)  # asked of the scheduler itself
latents = NoisedLatents(images, sigma=level.sigma, scale=level.scale)
fitted = brenier.fit(latents.materialise(), progress=False)
ot_map = OTMap.of(
    fitted.potential, latents, image_shape=(1, 8, 8), num_inference_steps=STEPS, last_steps=LAST
)
DPMOTPipeline(unet.eval(), scheduler, ot_map).save_pretrained("dpm-ot-digits")

pipe = DPMOTPipeline.from_pretrained("dpm-ot-digits", local_files_only=True)
generators = [torch.Generator().manual_seed(seed) for seed in range(16)]  # image k follows generator k alone
for number, picture in enumerate(pipe(16, generator=generators, fresh=True).images[:4]):
    picture.resize((64, 64)).save(f"dpm-ot-digits-{number}.png")

# schedulers space their timesteps differently; a map is refused where the last steps begin at another level
pipe.scheduler = DPMSolverMultistepScheduler.from_config(scheduler.config)
try:
    pipe(1)
except brenier.errors.InputError as error:
    print(error)
