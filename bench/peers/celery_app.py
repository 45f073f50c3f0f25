"""The incumbent: FastAPI in front, Celery behind, Redis as broker and for results."""
import os

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ["PEER_REDIS"]
app = Celery("celery_app", broker=BROKER, backend=BROKER)
app.conf.update(task_ignore_result=False, worker_prefetch_multiplier=64, worker_send_task_events=False,
                  result_expires=3600, broker_connection_retry_on_startup=True)
web = FastAPI()


@app.task
def nothing(n):
    return n


@web.post("/tasks", status_code=202)
def submit(body: dict):
    return {"id": nothing.delay(body["n"]).id}
