"""Runs, answers, tickets and pools."""
