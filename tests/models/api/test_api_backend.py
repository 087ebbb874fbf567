"""Scoring and chatting over HTTP: what is sent, what is read, what is asked once."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa import media, prompts
from mllmqa.benchmark import measure_speed
from mllmqa.errors import ApiRefusedError, LevelTokenError, UsageError
from mllmqa.loading import load
from mllmqa.models.api.pictures import original_file
from mllmqa.models.base import Request
from mllmqa.prepare import ScoreOptions
from mllmqa.prompts import Prompt
from mllmqa.schema import read_result
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback, Reply, chat

QUALITY = prompts.render(prompts.load("score/quality"), medium="image")
ASK = Prompt("chat/test@1", "0", "What is wrong with it?", "")


def test_logprobs_hand_arithmetic(server: Loopback, connect: Connect) -> None:
    # " good" and "Good" are one word: 0.6; fair 0.2; poor 0.1: mean (0.6·4 + 0.2·3 + 0.1·2) / 0.9 = 3.2 / 0.9.
    found = connect().score(photo_pixels())
    assert found.value == pytest.approx(3.2 / 0.9, abs=1e-6)
    assert found.coverage == pytest.approx(0.9, abs=1e-6)
    assert (found.readout, found.absent) == ("logprobs", ("excellent", "bad"))
    made = found.provenance
    assert (made.model, made.preset, made.readout, made.base_url) == (
        "api:eye",
        "api",
        "logprobs:prefilled",
        server.url,
    )
    assert made.revision == "served-1"
    assert read_result(found.model_dump_json()) == found
    (request,) = server.received
    assert request.body["messages"][1] == {"role": "assistant", "content": "The quality of the image is"}
    assert (request.body["temperature"], request.body["top_logprobs"]) == (0, 20)


def test_decisions_hand_arithmetic(server: Loopback, connect: Connect) -> None:
    server.decisions = True
    found = connect().score(photo_pixels())
    assert found.value == pytest.approx(0.1 * 5 + 0.6 * 4 + 0.2 * 3 + 0.1 * 2)
    assert (found.readout, found.coverage, found.absent) == ("decisions", None, ())
    assert found.provenance.readout == "decisions"
    (request,) = server.received
    (question,) = request.body["questions"]
    assert request.path == "/v1/decisions"
    assert (question["type"], question["instructions"]) == ("score", QUALITY.question)
    assert [level["label"] for level in question["levels"]] == ["bad", "poor", "fair", "good", "excellent"]


def test_text_is_one_hot(server: Loopback, connect: Connect) -> None:
    server.logprobs = "reject"
    found = connect().score(photo_pixels())
    assert (found.value, found.std, found.levels["good"]) == (4, 0, 1)
    assert (found.readout, found.coverage, found.absent) == ("text", None, ())
    (request,) = server.received
    assert request.texts[-1].endswith("these words and nothing else: excellent, good, fair, poor, bad.")
    assert request.body["max_completion_tokens"] == 512


def test_one_answer_without_logprobs_is_read_as_text_and_says_so(server: Loopback, connect: Connect) -> None:
    scorer = connect()
    server.script.append(Reply(200, chat("Fair.")))
    found = scorer.score(photo_pixels())
    assert (found.value, found.readout, found.coverage) == (3, "text", None)
    assert found.provenance.readout == "logprobs:prefilled"


def test_frames_read_in_different_ways_are_mixed(server: Loopback, connect: Connect, tmp_path: Path) -> None:
    scorer = connect(concurrency=1)
    clip = np.stack([photo_pixels(64, 48, seed=i) for i in range(2)])
    server.script.extend([Reply(), Reply(200, chat("bad"))])
    found = scorer.score(clip, ScoreOptions(frames="all", per_frame=True))
    assert [f.readout for f in found.frames] == ["text", "logprobs"]
    assert found.frames[0].value == 1


@pytest.mark.parametrize(("kind", "mime"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", "gif")])
def test_files_are_sent_as_they_are(
    kind: str, mime: str, server: Loopback, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "photo"
    Image.fromarray(photo_pixels()).save(path, kind)
    found = connect().score(path)
    assert server.received[0].pictures == [(f"image/{mime}", path.read_bytes())]
    (sent,) = found.provenance.sent
    assert (sent.original, sent.mime, sent.sha256) == (True, f"image/{mime}", found.media.sha256)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(Image.fromarray(photo_pixels()), "JPEG", exif=exif)


RGB = Image.fromarray(photo_pixels())


@pytest.mark.parametrize(
    "data",
    [
        _turned(),
        _saved(RGB.convert("RGBA"), "PNG"),
        _saved(RGB.convert("CMYK"), "JPEG"),
        _saved(RGB.convert("P"), "PNG", transparency=0),
        _saved(RGB, "PNG", transparency=(1, 2, 3)),
        _saved(Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80)), "PNG"),
        _saved(RGB, "BMP"),
    ],
    ids=["turned", "alpha", "cmyk", "transparent-entry", "transparent-colour", "16-bit", "bmp"],
)
def test_what_others_may_read_differently_is_sent_as_our_pixels(
    data: bytes, server: Loopback, connect: Connect
) -> None:
    found = connect().score(data)
    ((mime, sent),) = server.received[0].pictures
    assert (mime, found.provenance.sent[0].original) == ("image/png", False)
    ours = media.decode_image(media.open_media(data))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sent))), ours)


def test_a_view_is_sent_as_its_pixels(server: Loopback, connect: Connect, photo: Path) -> None:
    found = connect().score(photo, ScoreOptions(view="tiles:1x2"))
    assert [mime for mime, _ in server.received[0].pictures] == ["image/png"] * 2
    left, right = (np.asarray(Image.open(io.BytesIO(d))) for _, d in server.received[0].pictures)
    np.testing.assert_array_equal(np.hstack([left, right]), np.asarray(Image.open(photo)))
    assert len(found.provenance.sent) == 2


def test_arrays_have_no_file(photo: Path) -> None:
    assert original_file(media.open_media(photo_pixels())) is None
    assert original_file(media.open_media(photo)).data == photo.read_bytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("decisions", [False, True])
def test_frames_of_a_video_are_pictures_with_their_times(
    decisions: bool, server: Loopback, connect: Connect
) -> None:
    server.decisions = decisions
    clip = np.stack([photo_pixels(64, 48, seed=i) for i in range(3)])
    found = connect().score(clip, ScoreOptions(frames="all"))
    (request,) = server.received
    assert request.texts[:3] == [f"Frame {i + 1} of 3, shown at {i}.00 s:" for i in range(3)]
    for frame, (mime, data) in zip(clip, request.pictures, strict=True):
        assert mime == "image/png"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), frame)
    assert len(found.provenance.sent) == 3
    assert found.provenance.timestamps_s == (0, 1, 2)


def test_the_same_picture_is_asked_about_once(server: Loopback, connect: Connect, photo: Path) -> None:
    scorer = connect(cache="off")
    results = scorer.score([photo] * 5 + [photo_pixels(32, 32)])
    assert [r.status for r in results] == ["scored"] * 6
    assert len(server.received) == 2
    scorer.score([photo] * 3)
    assert len(server.received) == 2
    assert scorer.backend.usage.from_cache == 7


def test_no_more_than_wanted_at_once(server: Loopback, connect: Connect) -> None:
    scorer = connect(concurrency=3)
    server.most_at_once = 0
    gate = threading.Barrier(3)
    server.on_request = gate.wait  # type: ignore[assignment]  # passes only three at a time
    results = scorer.score([photo_pixels(32, 32, seed=i) for i in range(6)])
    assert [r.status for r in results] == ["scored"] * 6
    assert server.most_at_once == 3


def test_results_keep_their_order(server: Loopback, connect: Connect) -> None:
    pictures = [photo_pixels(32 + i, 32, seed=i) for i in range(12)]
    results = connect(concurrency=8).score(pictures)
    assert [r.media.width for r in results] == [32 + i for i in range(12)]


def test_generate(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(200, chat("It is blurred.")))
    request = Request(ASK, (photo_pixels(32, 32),))
    (answer,) = backend.answers([request], max_new_tokens=50)
    assert (answer.text, answer.tokens_in, answer.tokens_out, answer.from_cache) == (
        "It is blurred.",
        100,
        2,
        False,
    )
    assert backend.generate([request], max_new_tokens=50) == ["It is blurred."]
    (sent,) = server.received
    assert sent.body["max_completion_tokens"] == 50
    assert "logprobs" not in sent.body


@pytest.mark.parametrize("prefill", [True, False])
def test_generate_continues_a_start(prefill: bool, server: Loopback, connect: Connect) -> None:
    server.prefill = prefill
    backend = connect().backend
    start = Prompt("chat/test@1", "0", "What is wrong?", "The photo is")
    server.script.append(Reply(200, chat(" dark." if prefill else "The photo is dark.")))
    assert backend.generate([Request(start, (photo_pixels(32, 32),))]) == [" dark."]
    messages = server.received[0].body["messages"]
    assert len(messages) == 1 + prefill
    if not prefill:
        assert server.received[0].texts[-1] == "What is wrong?\nBegin your answer with: The photo is"


def test_generate_raises_the_first_failure_and_keeps_the_rest(server: Loopback, connect: Connect) -> None:
    backend = connect(concurrency=1).backend
    requests = [Request(ASK, (photo_pixels(32, 32, seed=i),)) for i in range(2)]
    server.script.extend([Reply(200, chat(None, refusal="no")), Reply(200, chat("fine"))])
    with pytest.raises(ApiRefusedError):
        backend.generate(requests)
    assert backend.generate(requests[1:]) == ["fine"]
    assert len(server.received) == 2


def test_words_must_be_told_apart(connect: Connect) -> None:
    backend = connect().backend
    backend.check_words(QUALITY, ["good", "bad"])
    for words in (["good", "Good"], ["very good", "bad"]):
        with pytest.raises(LevelTokenError):
            backend.check_words(QUALITY, words)


def test_another_model_behind_the_same_name_is_told(
    server: Loopback, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = connect()
    server.script.extend([Reply(200, chat("good") | {"model": "served-2"})] * 2)
    scorer.score([photo_pixels(32, 32, seed=i) for i in range(2)])
    assert len([r for r in caplog.records if "served-2" in r.getMessage()]) == 1


def test_the_spec_knows_endpoint_readout_and_length(connect: Connect) -> None:
    with Loopback() as other:
        scorers = [connect(), connect(readout="text"), connect(readout="text", max_tokens=9), connect(other)]
        specs = {scorer.plan().spec for scorer in scorers}
    assert len(specs) == 4
    assert connect(concurrency=1, timeout_s=9).plan().spec in specs


def test_load(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    scorer = load("api:eye")
    assert scorer.backend.info.base_url == server.url
    scorer.backend.close()  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="chooses device, dtype"):
        load("api:eye", device="cpu")


def test_a_model_elsewhere_has_no_speed_here(connect: Connect) -> None:
    with pytest.raises(UsageError, match="only a model that runs on this machine has a speed here"):
        measure_speed(connect())
