"""From labels to questions and answers, in our own wordings, and back: what a text says is read again.

Every answer is made of words that :mod:`mllmqa.data.tasks.extract` finds again, so that a built set can be
checked against its labels without a judge. Wordings lie in ``prompts/build/``.
"""
