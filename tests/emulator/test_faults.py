"""Each fault does what its name says, to a real client, and leaves the truth alone."""

import json
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from runlake.emulator import ROW_FAULTS, UNDOCUMENTED_WORD, Emulator, Fault, Faults, serve

from .conftest import VENDORS, Desk

_LISTING = [name for name in VENDORS if name != "clinia"]


def _once(desk: Desk, name: str, fault: Fault, **options: float | str) -> None:
    desk.vendor(name).faults = Faults(seed=1, kinds={fault}, limit=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.RATE_LIMITED, 429), (Fault.SERVER_ERROR, 500), (Fault.UNAVAILABLE, 503), (Fault.REDIRECT, 302)],
)
def test_an_error_status_happens_once_and_is_logged(desk: Desk, name: str, fault: Fault, status: int) -> None:
    _once(desk, name, fault)
    assert desk.listing(name).status_code == status
    assert desk.listing(name).status_code == 200
    assert desk.vendor(name).requests[0].fault is fault
    assert desk.vendor(name).faults.happened == {fault: 1}


def test_rate_limits_say_how_long_to_wait(desk: Desk) -> None:
    _once(desk, "clerk", Fault.RATE_LIMITED, retry_after_s=7)
    assert desk.listing("clerk").headers["Retry-After"] == "7"
    _once(desk, "clerk", Fault.RATE_LIMITED_DATE, retry_after_s=7)
    dated = desk.listing("clerk").headers
    assert (parsedate_to_datetime(dated["Retry-After"]) - parsedate_to_datetime(dated["Date"])).total_seconds() == 7


@pytest.mark.parametrize("name", VENDORS)
def test_a_cut_body_is_a_protocol_error(desk: Desk, name: str) -> None:
    _once(desk, name, Fault.CUT_BODY)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        desk.listing(name)
    assert desk.listing(name).status_code == 200


@pytest.mark.parametrize("name", VENDORS)
def test_truncated_json_is_valid_http(desk: Desk, name: str) -> None:
    _once(desk, name, Fault.TRUNCATED_JSON)
    response = desk.listing(name)
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_a_maintenance_page_is_html_with_200(desk: Desk) -> None:
    _once(desk, "esper", Fault.HTML_PAGE)
    response = desk.listing("esper")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_a_redirect_points_where_it_is_told(desk: Desk) -> None:
    _once(desk, "esper", Fault.REDIRECT, foreign_url="http://127.0.0.1:1")
    assert desk.listing("esper").headers["Location"].startswith("http://127.0.0.1:1/esper/pipelines/")


def test_a_held_answer_outlasts_the_client_and_ends_with_the_server() -> None:
    emulator = Emulator()
    emulator.esper.faults = Faults(kinds={Fault.TIMEOUT}, timeout_s=60)
    with httpx.Client() as client, serve(emulator) as base_url:
        url = f"{base_url}/esper/pipelines/v0/runs/"
        with pytest.raises(httpx.ReadTimeout):
            client.get(url, headers={"Authorization": "Bearer emulator-esper-token"}, timeout=0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_a_held_answer_comes_late_but_whole(desk: Desk) -> None:
    _once(desk, "clerk", Fault.TIMEOUT, timeout_s=0.05)
    response = desk.listing("clerk")
    assert response.elapsed.total_seconds() >= 0.05
    assert response.json()["data"]


def test_slow_bytes_arrive_in_pieces(desk: Desk) -> None:
    whole = desk.listing("clerk").content
    _once(desk, "clerk", Fault.SLOW_BYTES, slow_s=0.1)
    url = f"{desk.base_url}/clerk{desk.list_path('clerk')}"
    with desk.client.stream("GET", url, headers=desk.headers("clerk")) as response:
        pieces = list(response.iter_raw())
    assert len(pieces) > 5
    assert b"".join(pieces) == whole


def test_an_oversized_body_is_legal_json(desk: Desk) -> None:
    _once(desk, "truestate", Fault.OVERSIZED, oversized_mb=2)
    response = desk.listing("truestate")
    assert len(response.content) > 2 * 2**20
    assert desk.rows("truestate", response)


def test_an_expired_token_is_refused_for_a_while(desk: Desk) -> None:
    _once(desk, "clerk", Fault.EXPIRED_TOKEN, expired_requests=3)
    assert [desk.listing("clerk").status_code for _ in range(4)] == [401, 401, 401, 200]
    _once(desk, "clerk", Fault.EXPIRED_TOKEN, expired_requests=3)
    assert desk.listing("clerk").status_code == 401
    desk.emulator.clerk.faults.clear()
    assert desk.listing("clerk").status_code == 200


def test_an_expired_airflow_token_is_replaced_by_logging_in_again(desk: Desk) -> None:
    url, user = f"{desk.base_url}/airflow", {"username": "admin", "password": desk.settings("airflow")["password"]}

    def log_in() -> dict[str, str]:
        return {"Authorization": f"Bearer {desk.client.post(f'{url}/auth/token', json=user).json()['access_token']}"}

    old = log_in()
    _once(desk, "airflow", Fault.EXPIRED_TOKEN)
    new = log_in()
    refused = [desk.client.get(f"{url}/api/v2/dags", headers=bearer).status_code for bearer in (old, new)]
    assert refused == [401, 401]
    assert desk.client.get(f"{url}/api/v2/dags", headers=log_in()).status_code == 200


@pytest.mark.parametrize("name", ["clerk", "clarifeye", "esper"])
def test_a_foreign_next_link(desk: Desk, name: str) -> None:
    _once(desk, name, Fault.FOREIGN_NEXT, foreign_url="http://127.0.0.1:1")
    assert '"next": "http://127.0.0.1:1/' in desk.listing(name).text


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("fault", sorted(ROW_FAULTS - {Fault.SHIFTING_ROWS}))
def test_a_row_fault_distorts_one_answer_and_not_the_truth(desk: Desk, name: str, fault: Fault) -> None:
    truth, honest = desk.emulator.truth(name), desk.rows(name, desk.listing(name))
    vendor = desk.vendor(name)
    _once(desk, name, fault)
    rows = desk.rows(name, desk.listing(name))
    assert vendor.faults.happened == {fault: 1}
    changed = [row for row in rows if row not in honest]
    match fault:
        case Fault.DUPLICATE_ROWS:
            assert len(rows) == len(honest) + 1
        case Fault.MISSING_ROWS:
            assert len(rows) == len(honest) - 1
        case Fault.UNSORTED_PAGE:
            assert rows != honest
            assert len(rows) == len(honest)
        case Fault.UNKNOWN_WORD:
            assert [row[vendor.status_key] for row in changed] == [UNDOCUMENTED_WORD]
        case Fault.NULLS:
            assert sum(row[key] is None for row in changed for key in vendor.required_keys) == 1
        case Fault.MISSING_FIELD:
            assert sum(key not in row for row in changed for key in vendor.required_keys) == 1
        case Fault.HUGE_FIELD:
            assert [len(row[vendor.text_key]) for row in changed] == [1_000_000]
    assert desk.emulator.truth(name) == truth
    assert desk.rows(name, desk.listing(name)) == honest


@pytest.mark.parametrize("name", ["clerk", "clarifeye", "esper"])
def test_rows_shift_between_two_pages_of_one_walk(desk: Desk, name: str) -> None:
    second = {"clerk": "&page=2", "clarifeye": "&offset=10", "esper": "&offset=10"}[name]
    _once(desk, name, Fault.SHIFTING_ROWS)
    first_page = [row["id"] for row in desk.rows(name, desk.listing(name))]
    second_page = [row["id"] for row in desk.rows(name, desk.get(name, desk.list_path(name) + second))]
    shifted = set(first_page) & set(second_page)
    assert 1 <= len(shifted) <= 3
    again = [row["id"] for row in desk.rows(name, desk.listing(name))]
    fresh = [run_id for run_id in again if run_id not in first_page]
    assert len(fresh) == len(shifted)
    assert set(fresh) <= {run.run_id for run in desk.emulator.truth(name)}
    # What a client has seen does not shift away again.
    _once(desk, name, Fault.SHIFTING_ROWS)
    assert [row["id"] for row in desk.rows(name, desk.listing(name))] == again


def test_faults_are_drawn_from_their_seed(desk: Desk) -> None:
    def statuses(seed: int) -> list[int]:
        desk.emulator.esper.faults = Faults(seed=seed, rate=0.4, kinds={Fault.SERVER_ERROR, Fault.UNAVAILABLE})
        return [desk.listing("esper").status_code for _ in range(30)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert {200, 500, 503} == set(statuses(1))
