"""Engines in threads: progress, cancel, errors, and what is left when a widget goes."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from napari_msimage.engines import Progress
from napari_msimage.errors import BusyError, StorageError
from napari_msimage.plugin.widgets._jobs import Job, Questions, running_jobs

pytestmark = pytest.mark.gui


class Engine:
    """An engine that notes where it was run and closed."""

    def __init__(self, n_steps=3, pause=0.0, error=None):
        self.n_steps, self.pause, self.error = n_steps, pause, error
        self.threads = []

    def __call__(self):
        try:
            for step in range(self.n_steps):
                self.threads.append(threading.current_thread())
                yield Progress(step, self.n_steps)
                time.sleep(self.pause)
            if self.error:
                raise self.error
            return "made"
        finally:
            self.threads.append(threading.current_thread())


@pytest.fixture
def start(qtbot):
    """Return a function that starts a job; all are over at the end."""
    jobs = []

    def start(engine, subject="image"):
        job = Job(engine, subject=subject, busy="Somebody is at it.")
        job.start()
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.cancel()
    qtbot.waitUntil(lambda: not running_jobs())


def test_a_job_runs_in_one_other_thread_and_returns(start, qtbot):
    engine = Engine()
    job = start(engine)
    seen = []
    job.subscribe(lambda job: seen.append(job.outcome))
    qtbot.waitUntil(lambda: bool(seen) and seen[-1] is not None)
    assert (job.outcome.kind, job.outcome.result) == ("done", "made")
    assert len(set(engine.threads)) == 1
    assert engine.threads[0] is not threading.main_thread()


def test_cancel_closes_the_engine_in_its_thread_at_once(start, qtbot):
    engine = Engine(1000, pause=0.02)
    job = start(engine)
    qtbot.waitUntil(lambda: job.progress is not None)
    begin = time.monotonic()
    job.cancel()
    qtbot.waitUntil(lambda: job.outcome is not None, timeout=1000)
    assert time.monotonic() - begin < 1
    assert job.outcome.kind == "cancelled"
    assert len(set(engine.threads)) == 1


def test_errors_become_sentences(start, qtbot):
    job = start(Engine(error=StorageError("the disk is full")))
    qtbot.waitUntil(lambda: job.outcome is not None)
    assert (job.outcome.kind, job.outcome.message) == ("failed", "The disk is full.")


def test_bugs_become_sentences_too(start, qtbot, caplog):
    job = start(Engine(error=ZeroDivisionError("oops")))
    qtbot.waitUntil(lambda: job.outcome is not None)
    assert "unexpected error, ZeroDivisionError: oops" in job.outcome.message
    assert caplog.records[-1].exc_info


def test_an_engine_that_cannot_be_made_is_told(start, qtbot):
    def make():
        raise StorageError("no such image")

    job = start(make)
    qtbot.waitUntil(lambda: job.outcome is not None)
    assert job.outcome.message == "No such image."


def test_one_job_per_subject(start, qtbot):
    job = start(Engine(1000, pause=0.02))
    with pytest.raises(BusyError, match="Somebody is at it"):
        start(Engine())
    other = start(Engine(), subject="another image")
    qtbot.waitUntil(lambda: other.outcome is not None)
    job.cancel()
    qtbot.waitUntil(lambda: job.outcome is not None)
    again = start(Engine())
    qtbot.waitUntil(lambda: again.outcome is not None)
    assert again.outcome.kind == "done"


def test_who_has_unsubscribed_hears_nothing(start, qtbot):
    seen = []
    job = start(Engine())
    job.subscribe(seen.append)
    job.unsubscribe(seen.append)
    qtbot.waitUntil(lambda: job.outcome is not None)
    assert not seen


@pytest.fixture
def nothing_frozen():
    """Let the garbage collector see everything, also what tests keep from it."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_the_collector_leaves_old_objects_alone_meanwhile(nothing_frozen, start, qtbot):
    assert gc.get_freeze_count() == 0
    job = start(Engine(1000, pause=0.02))
    other = start(Engine(), subject="another image")
    assert gc.get_freeze_count() > 0
    qtbot.waitUntil(lambda: other.outcome is not None)
    assert gc.get_freeze_count() > 0
    job.cancel()
    qtbot.waitUntil(lambda: job.outcome is not None)
    assert gc.get_freeze_count() == 0


# Questions


class Asker:
    def __init__(self, delay_ms=20):
        self.answers = []
        self.threads = []
        self.questions = Questions(self.hear, delay_ms)

    def hear(self, answer):
        self.answers.append(answer)
        self.threads.append(threading.current_thread())


def test_only_the_newest_question_is_asked(qtbot):
    asker, asked = Asker(), []
    for number in range(5):
        asker.questions.ask(lambda number=number: asked.append(number) or number)
    qtbot.waitUntil(lambda: bool(asker.answers))
    qtbot.wait(60)
    assert asked == [4]
    assert asker.answers == [4]
    assert asker.threads == [threading.main_thread()]


def test_a_late_answer_does_not_replace_a_newer_one(qtbot):
    asker, may_answer = Asker(), threading.Event()
    asker.questions.ask(lambda: may_answer.wait(5) and "old")
    qtbot.wait(60)
    asker.questions.ask(lambda: "new")
    qtbot.waitUntil(lambda: bool(asker.answers))
    may_answer.set()
    qtbot.wait(100)
    assert asker.answers == ["new"]


def test_questions_that_hang_do_not_pile_up(qtbot):
    asker, may_answer = Asker(0), threading.Event()
    for _ in range(8):
        asker.questions.ask(lambda: may_answer.wait(5))
        qtbot.wait(20)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("napari-msimage question") == 4
    asker.questions.ask(lambda: "newest")
    qtbot.wait(40)
    may_answer.set()
    qtbot.waitUntil(lambda: "newest" in asker.answers)
    assert asker.answers == ["newest"]


def test_an_error_is_an_answer(qtbot):
    asker, err = Asker(), StorageError("gone")

    def fail():
        raise err

    asker.questions.ask(fail)
    qtbot.waitUntil(lambda: bool(asker.answers))
    assert asker.answers == [err]


def test_an_answer_to_nobody_is_dropped(qtbot):
    asker, may_answer = Asker(0), threading.Event()
    answers = asker.answers
    asker.questions.ask(lambda: may_answer.wait(5))
    qtbot.wait(40)
    del asker
    gc.collect()
    may_answer.set()
    qtbot.wait(60)
    assert answers == []
