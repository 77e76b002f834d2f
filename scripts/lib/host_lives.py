"""Many lives of the worker in one process that serve, while requests keep coming. Called by scripts/try_hosts.sh --lives.

    host_lives.py WINNOW LIVES MODEL COUNT
"""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from try_host import Process, endpoints


def main(winnow, lives, model, count):
    control, http = endpoints()
    coordinator = Process("coordinator", [
        winnow, "coordinator", "--model", model, "--stages", "1", "--listen", control, "--http", http,
        "--log-level", "error"])
    over = threading.Event()
    answered = [0]

    def ask():
        with_body = json.dumps({"model": model.rstrip("/").split("/")[-1], "prompt": "Once upon a time", "max_tokens": 2})
        while not over.is_set():
            request = urllib.request.Request(
                f"http://{http}/v1/completions", with_body.encode(), {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    json.load(answer)
                answered[0] += 1
            except (urllib.error.URLError, OSError):
                over.wait(0.05)  # no pipeline stands at this moment

    threading.Thread(target=ask, daemon=True).start()
    try:
        status = subprocess.run([lives, model, control, count, "1"], check=False).returncode
    finally:
        over.set()
        coordinator.process.kill()
        coordinator.process.wait()
    print(f"{answered[0]} requests were answered meanwhile; {'PASS' if status == 0 else 'FAIL'}")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
