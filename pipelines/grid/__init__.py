"""What ``mixlm compare`` runs: methods x seeds as commands, resumable."""
