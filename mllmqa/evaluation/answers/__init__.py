"""Ask a model questions about pictures and clips, and keep what it says in a log that can be graded again.

What is asked: :mod:`.item`; asking: :mod:`.ask`; the log: :mod:`.log`. Grading knows nothing of models:
:mod:`mllmqa.evaluation.describe` for samples with labels, :mod:`mllmqa.evaluation.choice` for multiple choice.
"""
