"""A web server on this machine."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def serve(answer):
    """Serve until the context ends. Yields the URL.

    Args:
        answer: It gets the method, the path, the headers and the content of a request, and returns the status and the
            content of the answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer_one(self):
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self.command, self.path, self.headers, content)
            self.send_response(status)
            self.send_header("Content-Type", "application/zip" if self.path.endswith(".whl") else "text/html")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        do_GET = do_HEAD = do_POST = do_PATCH = answer_one

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://127.0.0.1:{}".format(server.server_port)
        finally:
            server.shutdown()
            thread.join()
