"""How often detectors are right on recorded runs, and which settings keep them at a chosen rate of false alarms."""
