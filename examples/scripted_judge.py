"""A server that speaks `/v1/chat/completions` and has no model: a script answers. To try judges, and to test them.

    python scripted_judge.py --sensitivity 0.9 --specificity 0.8

prints its URL and plays a judge of correctness whose errors are planted: it looks for the expected answer in the final
one, then errs on the share of traces that the two numbers leave, chosen by a hash of prompt and answer. **Nothing that
it says is a measure of any model.** It ends with its standard input, or by Ctrl-C.
"""

import argparse
import hashlib
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What a script returns: the text of the message, fields of the choice, (status, headers, text), or None for a reset.
Said = str | Mapping[str, Any] | tuple[int, Mapping[str, str], str] | None
Script = Callable[[dict[str, Any]], Said]


class ScriptedServer:
    """Answers each request on a free port of this machine by the `script`; `requests` and `headers` are kept."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Otherwise each reply waits 40 ms for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                outer.headers.append(dict(self.headers))
                said = outer.script(body)
                if said is None:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                status, headers, text = said if isinstance(said, tuple) else (200, {}, completion(body, said))
                content = text.encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that went away is none."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


def completion(body: Mapping[str, Any], said: str | Mapping[str, Any]) -> str:
    """A chat completion as JSON."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    if not isinstance(said, str):
        choice |= said
    n_sent = sum(len(one["content"]) for one in body["messages"]) // 4
    usage = {"prompt_tokens": n_sent, "completion_tokens": 20, "total_tokens": n_sent + 20}
    return json.dumps({"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage})


def part(body: Mapping[str, Any], name: str) -> str:
    """A fenced part of the trace in a request, such as `final-answer`."""
    found = re.search(rf"<{name}-(\w+)>\n(.*?)\n</{name}-\1>", body["messages"][-1]["content"], re.DOTALL)
    return found[2] if found else ""


def planted(sensitivity: float, specificity: float) -> Script:
    """A judge of correctness with these rates of right verdicts on right and on wrong answers."""

    def script(body: dict[str, Any]) -> Said:
        answer, expected = part(body, "final-answer"), part(body, "expected-answer")
        is_right = bool(re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", answer))
        digest = hashlib.sha256(f"{part(body, 'prompt')}\0{answer}".encode()).digest()
        drawn = int.from_bytes(digest[:6]) / 2**48
        errs = drawn >= (sensitivity if is_right else specificity)
        said = f"The expected answer, {expected}, is {'' if is_right != errs else 'not '}what it says."
        return json.dumps({"explanation": said, "verdict": is_right != errs})

    return script


def main() -> None:
    """Serves until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sensitivity", type=float, default=0.9)
    parser.add_argument("--specificity", type=float, default=0.8)
    given = parser.parse_args()
    server = ScriptedServer(planted(given.sensitivity, given.specificity))
    print(server.url, flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main()
