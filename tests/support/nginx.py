"""nginx as a reverse proxy with TLS: before any server on this machine that a test names in the path."""

import grp
import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support import certificates
from tests.support.servers import Server, bound, foreign

# The first part of the path says what shall be done with it, the second is the port of the server behind. Each target
# has a limit of its own, and within a minute one request.
_CONFIGURATION = """
{user}
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    log_format said '$request_method $uri $status key=$http_idempotency_key';
    access_log {folder}/access.log said;
    add_header X-Connection $connection always;
    types {{ application/json json; }}

    gzip on;
    gzip_min_length 100;
    gzip_proxied any;
    gzip_types application/json;

    client_max_body_size 1m;
    limit_req_zone $uri zone=limited:1m rate=1r/m;

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 30s;

    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {pair};
        ssl_certificate_key {pair};
        ssl_client_certificate {ca};
        ssl_verify_client optional;
        root {folder}/root;
        absolute_redirect on;

        location ~ ^/to/(?<server>[0-9]+)(?<path>/.*)$ {{
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location ~ ^/impatient/(?<server>[0-9]+)(?<path>/.*)$ {{
            proxy_read_timeout 100ms;
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location ~ ^/thrice/(?<server>[0-9]+)(?<path>/.*)$ {{
            keepalive_requests 3;
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location ~ ^/429/(?<server>[0-9]+)(?<path>/.*)$ {{
            limit_req zone=limited;
            limit_req_status 429;
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location ~ ^/429-after-60/(?<server>[0-9]+)(?<path>/.*)$ {{
            limit_req zone=limited;
            limit_req_status 429;
            error_page 429 = @later;
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location @later {{
            add_header Retry-After 60 always;
            return 429;
        }}
        location ~ ^/503/(?<server>[0-9]+)(?<path>/.*)$ {{
            limit_req zone=limited;
            proxy_pass http://127.0.0.1:$server$path$is_args$args;
        }}
        location /silent {{ return 444; }}
        location /members {{
            if ($ssl_client_verify != SUCCESS) {{ return 496; }}
            return 200 "let in";
        }}
    }}
}}
"""


class Nginx(NamedTuple):
    """The proxy. ``files`` are those of a client that trusts its certificate."""

    server: Server
    tls_url: str
    files: certificates.Files
    folder: Path

    @property
    def url(self) -> str:
        """The base URL in clear."""
        return self.server.url

    def reload(self) -> None:
        """Let it read its configuration anew: other workers take over, and those of before end what they do."""
        self.server.send(signal.SIGHUP)

    def workers(self) -> int:
        """Return how many workers have been started so far."""
        return (self.folder / "log").read_text(errors="replace").count("start worker process ")

    def said(self, path: str) -> list[str]:
        """Return the lines of its log for one path, without the path: method, status and key."""
        lines = (self.folder / "access.log").read_text(encoding="utf-8").splitlines()
        return [line.replace(f" {path} ", " ") for line in lines if f" {path} " in line]


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Yield a proxy that listens, in clear and with TLS."""
    files = certificates.written(folder)
    (folder / "root" / "folder").mkdir(parents=True)
    (folder / "root" / "folder" / "index.html").write_text("the folder", encoding="utf-8")
    with bound() as guard:
        tls_port = guard.getsockname()[1]

        def arguments(port: int) -> list[str]:
            values = {"folder": folder, "port": port, "tls_port": tls_port, "pair": files.both, "ca": files.ca}
            configuration = folder / "nginx.conf"
            configuration.write_text(_CONFIGURATION.format(user=_user(), **values), encoding="utf-8")
            return ["-e", "stderr", "-p", str(folder), "-c", str(configuration)]

        with foreign("nginx", arguments, folder / "log") as server:
            yield Nginx(server, f"https://127.0.0.1:{tls_port}", files, folder)


def _user() -> str:
    """Return whom its workers shall be. Started as root they would become somebody who may not enter our folder."""
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name};"
