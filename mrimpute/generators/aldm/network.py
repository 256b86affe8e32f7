"""The networks of ALDM (Kim & Park, WACV 2024): the first stage, and the noise predictor on its latents."""

from mrimpute.generators.aldm.autoencoder import FirstStage
from mrimpute.generators.aldm.config import AldmConfig
from mrimpute.generators.aldm.unet import NoisePredictor

__all__ = ["AldmConfig", "FirstStage", "NoisePredictor"]
