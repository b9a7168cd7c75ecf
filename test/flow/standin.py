"""standin.py: a server that answers what a test tells it to, on a Unix socket, and notes what it was asked."""
import http.server
import json
import os
import socketserver
import struct
import threading
import time
import urllib.parse


class Request:
    def __init__(self, method, path, headers, body):
        parts = urllib.parse.urlsplit(path)
        self.method, self.path, self.headers, self.body = method, parts.path, headers, body
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        self.raw = headers.get("Content-Type") == "application/octet-stream"
        self.json = json.loads(body) if body and not self.raw else None


STDOUT, STDERR, TERMINAL, GAP, RESULT, ERROR, START = range(1, 8)
FRAMES = "application/vnd.curfew.frames"


def frame(kind, payload, offset=0):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return struct.pack(">BxxxIQ", kind, len(payload), offset) + payload


def gap(lost, offset=0):
    return frame(GAP, struct.pack(">Q", lost), offset)


class Stream:
    """An answer that is written as it comes: `write(stream)` runs on the request's thread.  What it returns without
    having ended breaks off."""

    def __init__(self, write, kind=FRAMES, headers=()):
        self.write, self.kind, self.headers, self.handler = write, kind, headers, None

    def serve(self, handler):
        self.handler = handler
        handler.send_response(200)
        handler.send_header("Content-Type", self.kind)
        handler.send_header("Transfer-Encoding", "chunked")
        for name, value in self.headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.close_connection = True
        try:
            self.write(self)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, *parts):
        data = b"".join(parts)
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def end(self):
        self.handler.wfile.write(b"0\r\n\r\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body)
        self.server.requests.append(request)
        answer = self.server.answer(request)
        while callable(answer):
            answer = answer(request)
        if answer is None:                      # break off
            self.close_connection = True
            return
        if hasattr(answer, "serve"):            # a Stream, or a Socket of webstand.py
            answer.serve(self)
            return
        status, reply, *headers = answer
        if not isinstance(reply, bytes):
            reply = json.dumps(reply).encode()
        try:
            self.send_response(status)
            kind = "application/octet-stream" if headers else "application/json"
            self.send_header("Content-Type", kind)
            for name, value in headers[0].items() if headers else ():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = serve


class StandIn(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path):
        super().__init__(path, Handler)
        self.path, self.requests, self.answer = path, [], lambda request: (404, error("not_found", "no answer was set"))
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def set(self, answer):
        """From now on `answer`: a (status, object or bytes) pair for all requests, with a dict of headers behind it
        bytes that are no JSON; a Stream; a Socket; None, to break off; or a function of the request that gives one of these."""
        self.requests.clear()
        self.answer = answer if callable(answer) else lambda request: answer

    def handle_error(self, request, client_address):
        pass

    def wait_for(self, test, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for request in list(self.requests):
                if test(request):
                    return request
            time.sleep(0.005)
        raise AssertionError("the request did not come; there were: %s" % [(r.method, r.path) for r in self.requests])

    def close(self):
        self.shutdown()
        self.server_close()
        os.unlink(self.path)


def success(data):
    return {"status": "success", "data": data}


def error(code, message, **more):
    return {"status": "error", "error": {"code": code, "message": message, **more}}
