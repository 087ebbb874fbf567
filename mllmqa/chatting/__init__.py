"""A conversation about the quality of files.

=================  ===================================================================================
``session``        files, questions and answers so far, the model; knows no terminal
``grounded``       answers that rest on readings, and comparisons
``plain``          answers in a model's own words
``commands``       what a line that begins with ``/`` does
``loop``           lines in, answers out, Ctrl-C
``transcript``     typed records of all that happened, as lines of JSON
``replay``         the same questions again, and what differs
=================  ===================================================================================
"""

from __future__ import annotations

from mllmqa.chatting.session import Answering, Compared, Comparing, Doing, Question, Reply, Session

__all__ = ["Answering", "Compared", "Comparing", "Doing", "Question", "Reply", "Session"]
