"""The reference trainer: a plain Lightning GAN that does not know about ganwatch."""
