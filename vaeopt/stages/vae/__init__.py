"""The invariant VAE: settings, encoder, decoder, training, and use of a trained one."""

from vaeopt.stages.vae.align import align
from vaeopt.stages.vae.encode import Posterior, content_means, decode, encode, posterior
from vaeopt.stages.vae.files import load_vae, save_vae
from vaeopt.stages.vae.invariances import Invariance
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.train import (
    Request,
    Training,
    Watch,
    train,
    train_each,
    train_groups,
    train_many,
    train_members,
)
from vaeopt.stages.vae.trainers import trained_by

__all__ = [
    "Invariance",
    "Posterior",
    "Request",
    "Training",
    "VaeSettings",
    "Watch",
    "align",
    "content_means",
    "decode",
    "encode",
    "load_vae",
    "posterior",
    "save_vae",
    "train",
    "train_each",
    "train_groups",
    "train_many",
    "train_members",
    "trained_by",
]
