"""Prediction against measurement over the compare matrix of three unlike workloads."""
import statistics

from service import Row

WORKLOADS = {
    "waits": dict(handler="sleep", params={"ms": 10}, items_count=400, workers=8, batch_size=400),
    "CPU": dict(handler="cpu.sum_squares", params={"n": 20000000}, items_count=300, workers=4, batch_size=300),
    "both": dict(handler="simulate", items_count=300, workers=8, batch_size=300, simulate_db_delay=True,
                 simulate_redis_delay=True, params={"db_delay_ms": 20, "loop_iterations": 400000}),
}


def compare(s, body):
    status, doc = s.call("POST", "/api/v1/tasks/compare", body)
    while doc["state"] not in ("succeeded", "failed", "cancelled"):
        status, doc = s.call("GET", f"/api/v1/tasks/{doc['id']}?wait=20")
    return doc["comparison"]


def run(s, quick):
    errors, off_best = [], []
    for name, body in WORKLOADS.items():
        for _ in range(2):
            compare(s, body)  # what it learns from
        table = compare(s, body)["strategies"]
        found = [(row["strategy"], row["predicted_ms"], row["duration_ms"]) for row in table if row.get("predicted_ms")]
        for strategy, predicted, measured in found:
            errors.append((abs(predicted - measured) / measured, name, strategy))
        chosen = min(found, key=lambda f: f[1])
        best = min(measured for _, _, measured in found)
        off_best.append(chosen[2] / best)
        yield Row(f"recommended for {name}: {chosen[0]}", f"{chosen[2]:.0f} ms", f"{best:.0f} ms", chosen[2] / best, "<= 1.05",
                  chosen[2] / best <= 1.05)
    worst = max(errors)
    median = statistics.median(e for e, _, _ in errors)
    yield Row(f"prediction error, median of {len(errors)}", f"{median * 100:.1f} %", "", None, "<= 10 %", median <= 0.10)
    yield Row(f"prediction error, worst ({worst[2]}, {worst[1]})", f"{worst[0] * 100:.1f} %", "", None, "<= 30 %",
              worst[0] <= 0.30)
