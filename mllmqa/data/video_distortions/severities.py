"""What severity 1 (just visible) … 5 (severe) means for each distortion of videos: one table.

Every row is monotone. Values were chosen by us on real clips; those of one distortion say nothing about those of
another. How they are used stands in the function of that name.
"""

from __future__ import annotations

from mllmqa.errors import DataError, UnknownNameError

Row = tuple[float, float, float, float, float]

TABLE: dict[str, dict[str, Row]] = {
    # timing
    "freeze": {"length_s": (0.3, 0.6, 1.0, 1.6, 2.5)},
    "stutter": {"hold_s": (0.12, 0.2, 0.3, 0.42, 0.6)},
    "frame_drop": {"share": (0.15, 0.3, 0.45, 0.6, 0.75)},
    "jitter": {"delay_frames": (0.4, 0.8, 1.3, 2.0, 3.0)},
    "stall": {"length_s": (0.5, 1.0, 1.8, 3.0, 5.0), "count": (1, 1, 2, 2, 3)},
    "stall_spinner": {"length_s": (0.5, 1.0, 1.8, 3.0, 5.0), "count": (1, 1, 2, 2, 3)},
    # appearance
    "flicker": {"amplitude": (0.06, 0.12, 0.2, 0.32, 0.5)},
    "shake": {"amplitude": (0.004, 0.008, 0.014, 0.024, 0.04)},
    "interlace": {"distance_frames": (1, 2, 3, 4, 6)},
    # transmission
    "packet_loss": {"losses_per_s": (0.4, 0.7, 1.1, 1.7, 2.6), "share": (0.08, 0.13, 0.2, 0.3, 0.45)},
    "bitrate_switch": {"crf": (30, 34, 38, 42, 46), "scale": (1.0, 0.75, 0.6, 0.45, 0.3)},
    # codecs: constant rate factor, then bits per pixel
    "h264": {"crf": (28, 33, 38, 43, 48)},
    "hevc": {"crf": (30, 35, 40, 45, 50)},
    "vp9": {"crf": (40, 47, 53, 58, 63)},
    "av1": {"crf": (40, 47, 53, 58, 63)},
    "h264_bitrate": {"bits_per_pixel": (0.08, 0.05, 0.032, 0.02, 0.012)},
    "hevc_bitrate": {"bits_per_pixel": (0.06, 0.038, 0.024, 0.015, 0.009)},
    "vp9_bitrate": {"bits_per_pixel": (0.06, 0.038, 0.024, 0.015, 0.009)},
    "av1_bitrate": {"bits_per_pixel": (0.05, 0.03, 0.018, 0.011, 0.006)},
}


def check(severity: int) -> int:
    """Return the severity.

    Raises:
        DataError: Not one of 1, 2, 3, 4, 5.
    """
    if severity not in (1, 2, 3, 4, 5):
        raise DataError(f"severity is {severity!r}", expected="1, 2, 3, 4 or 5")
    return int(severity)


def values(name: str, severity: int) -> dict[str, float]:
    """Return the row of one distortion at one severity.

    Raises:
        UnknownNameError: No such distortion.
        DataError: Severity outside 1..5.
    """
    if name not in TABLE:
        raise UnknownNameError(f"no video distortion is called {name!r}", expected="one of " + ", ".join(TABLE))
    step = check(severity) - 1
    return {key: row[step] for key, row in TABLE[name].items()}
