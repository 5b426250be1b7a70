"""What a notebook needs: named in a launch, declared in the document, or brought by a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtimed.errors import InvalidRequest, NeedsApproval
from runtimed.ipynb.load import MetadataLoad
from runtimed.room import effects as do
from runtimed.room import events
from runtimed.room.needs import named_at_creation
from runtimed.wire import requests as wire
from unit.room.network import Network, PeerAtHome


def runt(**sections: Any) -> MetadataLoad:
    return MetadataLoad("runt", {"schema_version": "1", **sections})


def load(network: Network, *steps: MetadataLoad) -> None:
    network.happen(events.CellsLoaded(steps, last=True))
    network.settle()


def launched(network: Network, peer: PeerAtHome, env_source: str = "auto", **named: Any) -> do.LaunchKernel:
    peer.ask(wire.LaunchKernel(kernel_type="python", env_source=env_source, **named))
    network.settle()
    (launch,) = network.take(do.LaunchKernel)
    assert isinstance(launch, do.LaunchKernel)
    return launch


def ready(network: Network) -> None:
    network.happen(events.KernelReady("python", "uv:inline", {"name": "python"}, ("polars",)))
    network.settle()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def ann(network: Network) -> PeerAtHome:
    return network.join("ann")


def test_what_came_with_a_file_is_foreign_at_the_launch(network: Network, ann: PeerAtHome) -> None:
    load(network, runt(uv={"dependencies": ["polars"]}))

    launch = launched(network, ann)

    assert launch.foreign == {"uv polars"}
    assert launch.declared.uv is not None and launch.declared.uv.dependencies == ("polars",)


def test_what_a_peer_writes_into_the_notebook_is_not(network: Network, ann: PeerAtHome) -> None:
    snapshot = json.dumps({"runt": {"uv": {"dependencies": ["polars"]}}})
    ann.edit(lambda tx: ann.notebook.set_metadata(tx, "notebook_metadata", snapshot))
    network.settle()

    assert launched(network, ann).foreign == frozenset()


def test_what_was_asked_for_in_the_original_is_not_foreign_in_its_clone(network: Network, ann: PeerAtHome) -> None:
    load(network, runt(uv={"dependencies": ["polars"]}))
    launched(network, ann, dependencies=("duckdb",))
    ready(network)
    asked = network.room.kernel.needs.asked()
    assert asked == {"uv duckdb"}

    clone = Network()
    steps = (runt(uv={"dependencies": ["polars", "duckdb"]}),)
    clone.happen(events.CellsLoaded(steps, last=True, asked=asked))
    clone.settle()

    assert launched(clone, clone.join("bob")).foreign == {"uv polars"}


def test_what_another_program_adds_to_the_file_is_foreign(network: Network, ann: PeerAtHome) -> None:
    notebook = network.room.documents.notebook
    fork = type(notebook)(notebook.document.fork_at(notebook.document.heads, "elsewhere"))
    before = notebook.document.heads
    fork.document.commit(lambda tx: fork.set_metadata_value(tx, "runt", {"uv": {"dependencies": ["evil"]}}))

    network.happen(events.ChangedOutside(tuple(fork.document.headers_since(before))))
    network.settle()

    assert launched(network, ann).foreign == {"uv evil"}


def test_what_a_launch_names_is_installed_and_stays_in_the_notebook(network: Network, ann: PeerAtHome) -> None:
    load(network, runt(uv={"dependencies": ["polars", "duckdb"], "requires-python": ">=3.11"}))

    launch = launched(network, ann, dependencies=("polars", "rich"))
    ready(network)

    assert launch.env_source == "uv:inline"
    assert launch.declared.uv is not None and launch.declared.uv.dependencies == ("polars", "duckdb", "rich")
    assert launch.foreign == {"uv duckdb"}
    assert ann.notebook.metadata()["runt"]["uv"] == {
        "dependencies": ["polars", "duckdb", "rich"],
        "requires-python": ">=3.11",
    }
    assert network.room.documents.runtime.came_with_file() == {"uv duckdb"}


def test_what_a_launch_names_for_conda_goes_to_condas_section(network: Network, ann: PeerAtHome) -> None:
    launch = launched(network, ann, "auto:conda", dependencies=("python=3.11", "numpy"))

    assert launch.env_source == "conda:inline"
    assert launch.declared.conda is not None and launch.declared.conda.dependencies == ("python=3.11", "numpy")


def test_what_a_launch_named_outlives_a_room_that_is_loaded_anew(network: Network, ann: PeerAtHome) -> None:
    launched(network, ann, dependencies=("polars",))

    network.room = network.room.reborn(network.room.documents)
    ready(network)

    assert network.room.documents.notebook.metadata()["runt"]["uv"]["dependencies"] == ["polars"]


def test_what_a_failed_launch_named_is_not_kept(network: Network, ann: PeerAtHome) -> None:
    launched(network, ann, dependencies=("pandsa",))
    network.happen(events.KernelFailed(NeedsApproval("no")))
    network.settle()

    assert "runt" not in ann.notebook.metadata()
    launched(network, ann)
    ready(network)
    assert "runt" not in ann.notebook.metadata()


@pytest.mark.parametrize(
    ("env_source", "entry"),
    [
        ("auto", "x @ https://elsewhere/x.whl"),
        ("auto", "./x"),
        ("auto", "--index-url=x"),
        ("conda:inline", "conda-forge::x"),
        ("conda:inline", "https://elsewhere/x.conda"),
        ("conda:inline", f"a{'=' * 200}/"),  # an answer at once: the room waits for it
        ("uv:pyproject", "polars"),
        ("deno", "polars"),
    ],
)
def test_a_call_names_packages_of_the_index_and_nothing_else(
    network: Network, ann: PeerAtHome, env_source: str, entry: str
) -> None:
    asked = ann.ask(wire.LaunchKernel(kernel_type="python", env_source=env_source, dependencies=(entry,)))
    network.settle()

    answer = ann.responses[asked]
    assert isinstance(answer, wire.Error) and answer.code == "invalid_request"
    assert not network.take(do.LaunchKernel)


def test_what_a_notebook_is_made_with_is_asked_for(network: Network, ann: PeerAtHome) -> None:
    network.happen(events.Created("python", named_at_creation("conda", ["numpy"])))
    network.settle()
    network.happen(events.Created("python", named_at_creation(None, ["polars"])))  # it was there already
    network.settle()

    launch = launched(network, ann)
    assert ann.notebook.metadata()["runt"]["conda"] == {"dependencies": ["numpy"]}
    assert "uv" not in ann.notebook.metadata()["runt"]
    assert launch.foreign == frozenset()


def test_a_notebook_made_for_deno_says_so(network: Network, ann: PeerAtHome) -> None:
    network.happen(events.Created("deno", None))
    network.settle()

    assert launched(network, ann).declared.kernelspec == "deno"


def test_a_notebook_is_made_with_plain_names_of_a_known_manager() -> None:
    assert named_at_creation(None, []) is None
    assert named_at_creation("pixi", None) == ("pixi", ())
    for manager, entry in (("npm", "x"), ("uv", "x @ https://elsewhere/x.whl"), ("conda", "a::b")):
        with pytest.raises(InvalidRequest):
            named_at_creation(manager, [entry])


class TestApproval:
    def refused(self, network: Network, ann: PeerAtHome) -> None:
        load(network, runt(uv={"dependencies": ["polars"]}))
        launched(network, ann)
        network.happen(events.KernelFailed(NeedsApproval("polars came with it", hint="runt trust approve")))
        network.settle()

    def test_a_launch_that_waits_for_it_says_so_to_everybody(self, network: Network, ann: PeerAtHome) -> None:
        self.refused(network, ann)

        runtime = ann.runtime
        assert runtime.lifecycle == "AwaitingTrust"
        assert runtime.needs_approval
        assert network.room.kernel.state == "none"

    def test_a_persons_client_approves_what_it_saw(self, network: Network, ann: PeerAtHome) -> None:
        self.refused(network, ann)
        heads = tuple(head.hex() for head in ann.notebook.document.heads)

        ann.ask(wire.ApproveTrust(observed_heads=heads))
        (effect,) = network.take(do.ApproveTrust)
        network.happen(events.TrustApproved())
        network.settle()

        assert isinstance(effect, do.ApproveTrust)
        assert (effect.by, effect.launch.foreign) == ("local:me/ann", {"uv polars"})
        assert ann.runtime.lifecycle == "NotStarted"
        assert not ann.runtime.needs_approval
        assert ann.runtime.trust()["approved_uv_dependencies"] == ["polars"]

    def test_what_changed_since_is_not_approved(self, network: Network, ann: PeerAtHome) -> None:
        self.refused(network, ann)
        heads = tuple(head.hex() for head in ann.notebook.document.heads)
        snapshot = json.dumps({"runt": {"uv": {"dependencies": ["polars", "evil"]}}})
        ann.edit(lambda tx: ann.notebook.set_metadata(tx, "notebook_metadata", snapshot))
        network.settle()

        asked = ann.ask(wire.ApproveTrust(observed_heads=heads))
        network.settle()

        assert isinstance(ann.responses[asked], wire.GuardRejected)
        assert not network.take(do.ApproveTrust)

    def test_an_agent_does_not_approve(self, network: Network, ann: PeerAtHome) -> None:
        self.refused(network, ann)
        agent = network.join("agent:claude:1")

        asked = agent.ask(wire.ApproveTrust())
        network.settle()

        answer = agent.responses[asked]
        assert isinstance(answer, wire.Error) and "agent" in answer.error
        assert not network.take(do.ApproveTrust)
