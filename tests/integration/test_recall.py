"""An execution is found by its id: while its room lives, after it left, and after its daemon was killed."""

from __future__ import annotations

import uuid

import pytest

from runtimed import Session
from runtimed.client.admin import ask
from runtimed.errors import RuntimedError
from runtimed.wire.pool import ExecutionResultRecord, GetExecutionResult
from serving import Daemon

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


def recalled(daemon: Daemon, execution_id: str) -> dict[str, object]:
    return ask(daemon.socket, GetExecutionResult(execution_id=execution_id), ExecutionResultRecord).record


def test_an_execution_outlives_its_room_and_its_daemon(daemon: Daemon) -> None:
    session = Session("recalled")
    done = session.run("print('kept')")
    session.run("print('another')")

    record = recalled(daemon, done.execution_id)
    assert (record["status"], record["success"], record["cell_id"]) == ("done", True, done.cell_id)
    assert record["outputs"][0]["text"] == {"inline": "kept\n"}  # type: ignore[index]

    assert daemon.shut(str(record["notebook_id"]))
    session.close()
    assert recalled(daemon, done.execution_id)["outputs"] == record["outputs"]
    assert not daemon.rooms()  # it was looked at where it lies, and let go again

    (daemon.folder / "rooms" / str(record["notebook_id"]) / "executions").unlink()  # as after a kill -9
    daemon.kill()
    daemon.start()
    assert recalled(daemon, done.execution_id)["outputs"] == record["outputs"]


def test_an_id_of_no_execution_is_refused_in_words(daemon: Daemon) -> None:
    daemon.start()

    for unknown in (str(uuid.uuid4()), "../../etc/passwd", ""):
        with pytest.raises(RuntimedError, match="not found"):
            recalled(daemon, unknown)


def test_an_execution_that_runs_has_no_result_yet(daemon: Daemon) -> None:
    with Session("running") as session:
        session.run("0")
        execution_id = session.queue_cell(session.create_cell("import time; time.sleep(60)"))

        with pytest.raises(RuntimedError, match="no result yet"):
            recalled(daemon, str(execution_id))
