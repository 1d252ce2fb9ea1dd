"""Rates of detections and false alarms on recorded runs, and settings fitted to a rate of false alarms."""
