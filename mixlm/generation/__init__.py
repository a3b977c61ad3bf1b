"""``mixlm-generate``: from questions to answers in a mix of latents and text."""
