"""DAGs whose runs stay as they are for a day, one task for each way of not being done."""

import time
from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, task

A_DAY = timedelta(days=1)


@dag(max_active_runs=1, max_active_tasks=1)
def runs_long() -> None:
    """The first run is running, any other queued; of its two tasks one is running, the other scheduled."""

    @task(priority_weight=2)
    def train() -> None:
        time.sleep(A_DAY.total_seconds())

    @task(priority_weight=1)
    def evaluate() -> int:
        return 3

    train()
    evaluate()


@dag
def waits() -> None:
    @task(retries=1, retry_delay=A_DAY)
    def up_for_retry() -> None:
        raise ConnectionError("the warehouse does not answer yet")

    @task.sensor(mode="reschedule", poke_interval=A_DAY.total_seconds(), timeout=2 * A_DAY.total_seconds())
    def up_for_reschedule() -> bool:
        return False

    up_for_retry()
    up_for_reschedule()
    DateTimeSensorAsync(task_id="deferred", target_time="{{ macros.datetime(2126, 1, 1) }}")
    ApprovalOperator(task_id="awaiting_input", subject="Publish the forecast?")


@dag(is_paused_upon_creation=True)
def stays_paused() -> None:
    """A run of a paused DAG is accepted and stays queued."""

    @task
    def extract() -> int:
        return 3

    extract()


runs_long()
waits()
stays_paused()
