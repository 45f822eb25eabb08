"""What all experiments use: metrics, baselines, plots, results, resumable parts."""
