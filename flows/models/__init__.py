"""The three families of models: joint, coupling, latent."""
