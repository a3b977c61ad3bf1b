"""Training the stage-1 model."""
