"""The training loop: losses, radiometry, the fit and its scores."""
