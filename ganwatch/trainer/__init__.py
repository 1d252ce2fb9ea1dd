"""The reference trainer: a plain Lightning GAN that knows nothing of its observation."""
