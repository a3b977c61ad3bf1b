"""Which class a stage-1 model is of, by what its codes are trained for; transformers' ``AutoModel`` asks here too."""

from transformers import AutoConfig, AutoModel

from vqvae.model.chunk_vqvae import ChunkVQVAE
from vqvae.model.coder import ChunkCoder
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.predictive import PredictiveVQVAE


CLASSES = (ChunkVQVAE, PredictiveVQVAE)


def model_class(config: ChunkVQVAEConfig) -> type[ChunkCoder]:
    """Return the class of models with the objective of a configuration."""
    return next(kind for kind in CLASSES if config.objective in kind.objectives)


AutoConfig.register(ChunkVQVAEConfig.model_type, ChunkVQVAEConfig)
AutoModel.register(ChunkVQVAEConfig, CLASSES)
