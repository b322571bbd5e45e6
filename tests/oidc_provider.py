"""A real provider of OpenID Connect on loopback: Django OAuth Toolkit, with its own login page.

python -m tests.oidc_provider FOLDER PORT CLIENT_ORIGIN: serves http://localhost:PORT/o as issuer
until it is told to stop. It shares no code with what the fleet verifies tokens with.
"""

import contextlib
import socketserver
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from wsgiref.simple_server import WSGIServer, make_server

from hw.sim.site import free_ports
from tests.real import HOST

CLIENT_ID: Final = "kazasu-office"
CLIENT_SECRET: Final = "a secret: of/the client"
USERS: Final = {"hana": "hana at the city", "sora": "sora at the city"}
LOGIN: Final = (
    "<form method=post>{% csrf_token %}{{ form }}<input type=hidden name=next value='{{ next }}'>"
    "<button>OK</button></form>"
)


START_S: Final = 60
"""Django and a key of 2,048 bits: three seconds on an idle machine."""


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    return free_ports(1)[0]


def issuer_at(port: int) -> str:
    """Return how the provider at this port names itself: another site than 127.0.0.1."""
    return f"http://localhost:{port}/o"


@contextlib.contextmanager
def running(folder: Path, port: int, client_origin: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the provider for one client."""
    command = [sys.executable, "-m", "tests.oidc_provider", str(folder), str(port), client_origin]
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the provider does not start: see provider.log")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{issuer_at(port)}/.well-known/openid-configuration") as said:
            return bool(said.status == 200)
    except urllib.error.URLError:
        return False


def _settings(folder: Path, port: int) -> dict[str, Any]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    loaders = [
        ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
        "django.template.loaders.app_directories.Loader",
    ]
    return {
        "SECRET_KEY": "of a test",
        "ALLOWED_HOSTS": ["localhost"],
        "USE_TZ": True,
        "LOGIN_URL": "/login/",
        "DATABASES": {
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "provider.db"}
        },
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"loaders": loaders},
            }
        ],
        "OAUTH2_PROVIDER": {
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": key.decode(),
            "OIDC_ISS_ENDPOINT": issuer_at(port),
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
            "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
            "PKCE_REQUIRED": True,
            "SCOPES": {"openid": "who you are"},
        },
    }


class _Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


def serve(folder: Path, port: int, client_origin: str) -> None:
    """Make the database, its users and its one client, and serve."""
    import django
    from django.conf import settings

    settings.configure(**_settings(folder, port))
    django.setup()
    from django.contrib.auth import get_user_model
    from django.contrib.auth.views import LoginView
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path
    from oauth2_provider.models import get_application_model

    urls = include("oauth2_provider.urls", namespace="oauth2_provider")
    settings.ROOT_URLCONF = (path("o/", urls), path("login/", LoginView.as_view()))
    call_command("migrate", verbosity=0)
    for name, password in USERS.items():
        get_user_model().objects.create_user(name, password=password)
    application = get_application_model()
    application.objects.create(
        name="office",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        client_type=application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=f"{client_origin}/oidc/back",
        post_logout_redirect_uris=f"{client_origin}/login",
        skip_authorization=True,
        algorithm=application.RS256_ALGORITHM,
    )
    with make_server(HOST, port, get_wsgi_application(), _Threads) as server:
        server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
