"""Commands: they parse, call ``vqvae`` and ``mixlm``, and print."""
