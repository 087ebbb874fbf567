"""Answers that were paid for, kept by the content of their request, so that none is paid for twice.

One SQLite file (WAL, synced before an answer is given on): it survives a kill at any moment, and several processes
may share it. Answers that arrive while others are being synced are synced together: a disk that needs 10 ms for it
does not hold 32 calls up in turn. What is kept is what an endpoint answered, useless answers among them;
a failure is never kept. Keys hold neither credentials nor timeouts: only what decides the answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mllmqa.errors import UsageError

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of keys and tables (``user_version`` of the file)."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS endpoints (key TEXT PRIMARY KEY, found TEXT NOT NULL)",
)


def key_of(base_url: str, path: str, body: dict[str, Any]) -> str:
    """Return the key of a request.

    Args:
        base_url: Of the endpoint, without credentials.
        path: ``chat/completions`` or ``decisions``.
        body: Of the request, with the SHA-256 of each picture in the place of its bytes.
    """
    text = json.dumps([FORMAT, base_url, path, body], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class AnswerCache:
    """Paid answers by key; threads that want the same answer at the same time wait for one request.

    Args:
        path: The file, created with its folders, readable for its owner only; None: in memory.

    Raises:
        UsageError: The file cannot be opened, or is not ours.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._unsynced: deque[tuple[str, str, str]] = deque()
        self._in_flight: dict[str, Future[dict[str, Any]]] = {}
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = _connection(path)
            self._prepare()
            self._reading = self._db if path is None else _connection(path)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"cannot be used as a cache of answers: {error}", where=path, hint="name another with --cache"
            ) from error

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (others,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != FORMAT and (version or others):
            self._db.close()
            raise UsageError(
                "is a database of something else, or of another version of mllmqa",
                where=self.path,
                hint="name another folder with --cache",
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        for table in _TABLES:
            self._db.execute(table)
        self._db.execute(f"PRAGMA user_version={FORMAT:d}")

    def answer(self, key: str, model: str, ask: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """Return the answer with this key; ask for it once if it is not here.

        Args:
            key: From :func:`key_of`.
            model: Kept beside the answer, for people who look into the file.
            ask: Sends the request; what it raises is raised here, in all threads that wait, and not kept.

        Returns:
            The answer's JSON object, and whether it needed no request of this thread.
        """
        with self._lock:
            if (kept := self._get("answers", "body", key)) is not None:
                return kept, True
            waiting = self._in_flight.get(key)
            if waiting is None:
                mine: Future[dict[str, Any]] = Future()
                self._in_flight[key] = mine
        if waiting is not None:
            return waiting.result(), True
        try:
            body = ask()
            self._keep(key, model, body)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(body)
            return body, False
        finally:
            with self._lock:
                del self._in_flight[key]

    def _keep(self, key: str, model: str, body: dict[str, Any]) -> None:
        """Return once it is on the disk: written by this thread, or by the one that was before it at the door."""
        self._unsynced.append((key, model, json.dumps(body)))
        with self._writing:
            rows = [self._unsynced.popleft() for _ in range(len(self._unsynced))]
            if rows:
                self._write(rows)

    def _write(self, rows: list[tuple[str, str, str]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:  # a full disk may not cost the answers themselves
            what = "an answer" if len(rows) == 1 else f"{len(rows)} answers"
            log.warning(
                "%s: %s could not be kept (%s): asking again will be paid for again", self.path, what, error
            )

    def endpoint(self, key: str) -> dict[str, Any] | None:
        """Return what was found out about an endpoint, if anything was."""
        with self._lock:
            return self._get("endpoints", "found", key)

    def keep_endpoint(self, key: str, found: dict[str, Any]) -> None:
        """Keep what was found out about an endpoint."""
        with self._writing:
            self._db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", (key, json.dumps(found)))

    def _get(self, table: str, column: str, key: str) -> dict[str, Any] | None:
        row = self._reading.execute(f"SELECT {column} FROM {table} WHERE key = ?", (key,)).fetchone()  # noqa: S608
        return None if row is None else dict(json.loads(row[0]))

    def close(self) -> None:
        """Close the file."""
        self._reading.close()
        self._db.close()


def _connection(path: Path | None) -> sqlite3.Connection:
    return sqlite3.connect(
        ":memory:" if path is None else path, timeout=60, check_same_thread=False, isolation_level=None
    )
