"""A built set in the formats of others, beside its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mllmqa.data.build.opinions import Rated
from mllmqa.data.build.recipe import Options, Recipe
from mllmqa.data.build.sources import Sources
from mllmqa.data.formats import FORMATS, Format, export_file, format_named
from mllmqa.data.sample_file import read_samples
from mllmqa.errors import DataError, UsageError

ENDINGS = {"array": ".json", "lines": ".jsonl", "parquet": ".parquet"}


def formats_named(names: Sequence[str]) -> list[Format]:
    """Return formats by name.

    Raises:
        UnknownNameError: There is none of a name.
    """
    return [format_named(name) for name in names]


def check_formats(forms: Sequence[Format], recipe: Recipe, options: Options, sources: Sources) -> None:
    """Check, before a set is built, that formats can express what will be in it, as far as that is known.

    Args:
        forms: Formats.
        recipe: What makes the samples; it may state how many media they show.
        options: Of the recipe.
        sources: What they are made of.

    Raises:
        UsageError: One cannot: too few slots for media, or none for clips.
    """
    kinds = {kind for kind in (*recipe.needed(options), *recipe.uses) if sources.count(kind)}
    clips = "clips" in kinds or ("rated" in kinds and any(map(_is_clip, sources.rated)))
    for form in forms:
        what = None
        if form.slots is not None and recipe.most is not None and recipe.most > form.slots:
            what = (
                f"{form.name} has {form.slots} slots for media, and samples of this recipe show up to {recipe.most}"
            )
        elif clips and not form.videos:
            what = f"{form.name} has no slot for clips, and samples of this recipe show some"
        if what is not None:
            raise UsageError(what, expected=f"--format {_others(form)}", hint="nothing was built")


def _is_clip(one: Rated) -> bool:
    from mllmqa.media.gather import VIDEO_EXTENSIONS

    return one.kind == "video" or one.path.suffix.lower().lstrip(".") in VIDEO_EXTENSIONS


def _others(form: Format) -> str:
    return " | ".join(name for name in FORMATS if name != form.name)


def export_set(samples: Path, forms: Sequence[Format]) -> Iterator[str]:
    """Write the samples in formats, each to ``FORMAT.json``, ``.jsonl`` or ``.parquet`` in the same folder.

    What is there of an earlier run is replaced. Samples that a format cannot express are an error: none is dropped.

    Args:
        samples: A file of samples.
        forms: Formats.

    Yields:
        One line for each: where it is, and what the format does not hold.

    Raises:
        DataError: A sample cannot be expressed in a format.
        MissingExtraError: Parquet without pyarrow.
    """
    for form in forms:
        path = samples.with_name(form.name + ENDINGS[form.container])
        path.unlink(missing_ok=True)
        try:
            done = export_file(read_samples(samples), form, path)
        except DataError as error:
            again = f"repeat the command with --resume --format {_others(form)}"
            raise DataError(
                f"{form.name} is not written: {error.what}", where=error.where, expected=error.expected,
                hint=f"{samples} is complete; for another format {again}",
            ) from error  # fmt: skip
        lost = ", ".join(f"{name} ({count})" for name, count in sorted(done.lost.items()))
        yield f"{path}: {done.n} samples" + (f"; {form.name} does not hold {lost}" if lost else "")
