"""What passes over the network: bounded in time and memory, and no key anywhere else."""
