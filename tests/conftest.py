"""Properties are checked without a deadline: how long an example takes says nothing on a busy machine."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")
