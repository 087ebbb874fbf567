"""Functions of an exported multiple-choice task. An answer that names none or two is unparsed, never guessed."""

import re


def doc_to_visual(doc):
    """Return the pictures as PIL images, the clips as paths."""
    from PIL import Image

    return [
        Image.open(one["path"]).convert("RGB") if one["kind"] == "image" else one["path"] for one in doc["media"]
    ]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    """Return the question with its options."""
    return doc["prompt"]


def process_results(doc, results):
    """Grade one answer."""
    letter = chosen_letter(results[0], doc["options"])
    return {"accuracy": float(letter == doc["answer"]), "unparsed": float(letter is None)}


def chosen_letter(text, options):
    """Return the letter of the only option that a text names: alone, in front, in brackets, or by its text."""
    letters = "ABCDEFGH"[: len(options)]
    forms = (
        rf"^\W*([{letters}])\W*$",
        rf"^\W*([{letters}])[.):,]",
        rf"\(([{letters}])\)",
        rf"\b(?:answer|option|choice)(?: is|:)? *:? *\(?([{letters}])\b",
    )
    named = {found for form in forms for found in re.findall(form, text.strip(), re.MULTILINE)}
    if not named:
        said = " ".join(text.lower().split()).strip(" .!")
        whole = [i for i, option in enumerate(options) if option.lower().strip(" .!") == said]
        named = {letters[i] for i in whole}
    return named.pop() if len(named) == 1 else None
