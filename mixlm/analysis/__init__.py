"""What latents and thoughts do: interventions, probes and readings; one or two tables, each with its plot."""
