"""Errors of this package: the same class as stage 1, so that a command catches one."""

from vqvae.errors import InputError


__all__ = ["InputError"]
