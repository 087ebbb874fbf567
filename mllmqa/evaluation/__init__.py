"""Evaluation: how well scores agree with people."""
