"""A DAG that nobody triggers: three runs, the same three on every recording."""

from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(
    schedule="30 4 * * *",
    start_date=datetime(2026, 3, 1, tzinfo=UTC),
    end_date=datetime(2026, 3, 4, tzinfo=UTC),
    catchup=True,
)
def runs_daily() -> None:
    @task
    def load() -> int:
        return 3

    load()


runs_daily()
