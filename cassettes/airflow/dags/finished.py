"""DAGs whose runs come to an end, one for each way of ending."""

from collections.abc import Iterable
from datetime import timedelta

from airflow.sdk import Asset, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

orders = Asset("orders")


@dag
def always_succeeds() -> None:
    @task
    def extract() -> int:
        return 3

    @task(outlets=[orders])
    def load(rows: int) -> int:
        return rows

    load(extract())


@dag(schedule=[orders])
def starts_after_orders() -> None:
    """Not triggered by anybody: Airflow starts it each time ``always_succeeds`` has loaded."""

    @task
    def count() -> int:
        return 3

    count()


@dag
def always_fails() -> None:
    @task
    def extract() -> None:
        raise ConnectionError("the warehouse does not answer")

    extract()


@dag
def skips_a_task() -> None:
    """Airflow calls the run a success."""

    @task
    def extract() -> int:
        return 3

    @task
    def refresh_holidays() -> None:
        raise AirflowSkipException("no holiday today")

    @task
    def publish_holidays() -> None:
        """Skipped as well, because what it waits for was."""

    extract()
    refresh_holidays() >> publish_holidays()


@dag
def fails_upstream() -> None:
    @task
    def extract() -> None:
        raise ConnectionError("the warehouse does not answer")

    @task
    def load() -> None:
        """Never starts: it becomes upstream_failed."""

    extract() >> load()


@dag
def passes_on_retry() -> None:
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def extract() -> None:
        _fail_the_first_time()

    extract()


@dag
def fails_until_cleared() -> None:
    """Fails, and succeeds when somebody clears it; a clear counts as a try, although the task has no retries."""

    @task
    def extract() -> None:
        _fail_the_first_time()

    @task
    def load() -> int:
        return 3

    extract() >> load()


@dag
def maps_three() -> None:
    @task
    def load(region: str) -> int:
        return len(region)

    @task
    def add_up(rows: Iterable[int]) -> int:
        return sum(rows)

    add_up(load.expand(region=["eu", "us", "ap"]))


def _fail_the_first_time() -> None:
    if get_current_context()["ti"].try_number == 1:
        raise ConnectionError("the warehouse does not answer yet")


always_succeeds()
starts_after_orders()
always_fails()
skips_a_task()
fails_upstream()
passes_on_retry()
fails_until_cleared()
maps_three()
