"""Full-reference quality: metrics of images and videos, VMAF, and a pseudo opinion score made of them.

>>> import numpy as np
>>> from mllmqa.data.fullref import measure
>>> grey = np.full((32, 32, 3), 100, np.uint8)
>>> round(measure(grey, grey + np.uint8(10), ["psnr"])["psnr"], 2)
28.13
"""

from mllmqa.data.fullref.metrics import METRICS, NAMES, Metric, measure, psnr
from mllmqa.data.fullref.pseudo_mos import PseudoMos
from mllmqa.data.fullref.video import VideoMeasure, measure_video
from mllmqa.data.fullref.vmaf import Vmaf, vmaf

__all__ = [
    "METRICS",
    "NAMES",
    "Metric",
    "PseudoMos",
    "VideoMeasure",
    "Vmaf",
    "measure",
    "measure_video",
    "psnr",
    "vmaf",
]
