"""Errors of this package: the same class as stage 1, so that a command catches one."""

from vqvae.errors import InputError, is_out_of_memory


__all__ = ["InputError", "is_out_of_memory"]
