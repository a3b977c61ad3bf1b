"""What latents and thoughts do: interventions, probes and readings, each a table and a plot."""
