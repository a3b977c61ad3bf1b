"""What a report shows of runs: computed here, drawn by the page that is written with it."""
