"""Distortions of videos that record what was done, where and when.

>>> import numpy as np
>>> from mllmqa.data.video_distortions import Clip, apply
>>> clip = Clip.of(np.zeros((30, 32, 48, 3), np.uint8), fps=10)
>>> done = apply(clip, "freeze", 2, np.random.default_rng(0), within=(1.0, 2.0))
>>> done.applied[0].name, round(done.applied[0].parameters["length_s"], 3)
('freeze', 0.6)
"""

from mllmqa.data.video_distortions.clip import Applied, Clip, DistortedClip, Span
from mllmqa.data.video_distortions.codecs import Rate, encoders, recode
from mllmqa.data.video_distortions.files import read_clip, write_clip
from mllmqa.data.video_distortions.lift import DistortedImage, ImageDistortion, lift
from mllmqa.data.video_distortions.registry import IN_TIME, NAMES, Step, apply, apply_all, random_span
from mllmqa.data.video_distortions.severities import TABLE

__all__ = [
    "IN_TIME",
    "NAMES",
    "TABLE",
    "Applied",
    "Clip",
    "DistortedClip",
    "DistortedImage",
    "ImageDistortion",
    "Rate",
    "Span",
    "Step",
    "apply",
    "apply_all",
    "encoders",
    "lift",
    "random_span",
    "read_clip",
    "recode",
    "write_clip",
]
