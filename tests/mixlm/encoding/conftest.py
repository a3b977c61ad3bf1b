"""One small corpus, encoded once for a file of tests, and one for a test alone."""

import pytest

from tests.encoding_work import Work


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def encoded(work):
    return work.encode()


@pytest.fixture
def fresh(tmp_path):
    return Work(tmp_path)
