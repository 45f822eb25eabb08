"""Whatever the OpenAPI description allows, and what it does not, gets an answer and never a 500."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from workbench import client_of

CASE = "phantom-00-01"
FEW, MANY = 6, 150  # requests to each operation
PHASES = (Phase.explicit, Phase.generate)  # what fails is told as it came


@pytest.fixture(scope="module")
def client(archive_path: Path, tmp_path_factory: pytest.TempPathFactory):
    import shutil

    copy = tmp_path_factory.mktemp("asked") / "A"
    shutil.copytree(archive_path, copy)  # what is kept of questions lies beside it
    with client_of(copy) as found:
        yield found


@pytest.mark.parametrize("n", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_request_that_a_machine_thinks_of_breaks_the_server(client, n: int) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 8
    for operation in operations:
        modes = schemathesis.GenerationMode
        strategy = st.one_of(
            operation.as_strategy(generation_mode=modes.POSITIVE),
            *(
                [operation.as_strategy(generation_mode=modes.NEGATIVE)]
                if _can_be_wrong(operation)
                else []
            ),
        )
        _never_breaks(client, operation, strategy, n)


def _can_be_wrong(operation) -> bool:
    """Whether there is anything in a request that could be other than described."""
    return bool(operation.query.items or operation.path_parameters.items or operation.body)


def _never_breaks(client, operation, strategy, n: int) -> None:
    @given(case=strategy, held=st.booleans())
    @settings(max_examples=n, phases=PHASES, suppress_health_check=list(HealthCheck), database=None)
    def asked(case, held: bool) -> None:
        if held and isinstance(case.query, dict) and "case" in case.query:
            case.query["case"] = CASE  # else most requests would only name what is not there
        wanted = case.as_transport_kwargs(base_url="http://127.0.0.1:8765")
        known = ("params", "json", "content", "data", "files")
        given_ = {name: wanted[name] for name in known if wanted.get(name) is not None}
        found = client.request(wanted["method"], wanted["url"], headers=client.headers, **given_)
        assert found.status_code < 500, (wanted, found.text[:500])

    asked()
