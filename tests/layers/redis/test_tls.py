"""TLS: certificates and host names are checked, of one server and of a cluster's nodes."""

from __future__ import annotations

import datetime as dt
import ipaddress
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Create, Fetch
from tests.servers import RedisServer, ServerError, free_port, leave, require_server

x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

THING, LIFE = "{user_id:42}", 60_000


def certificate(folder, *names):
    """A certificate that its own key has signed, valid for *names*; the paths of both."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.timezone.utc)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    encryption = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def address():
    return x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def serve(tmp_path):
    """Starts a server that speaks TLS on a second port: ``serve(*names)`` returns what reaches it."""
    require_server("redis")
    started = []

    def start(*names, args=()):
        crt, key = certificate(tmp_path, *names)
        files = ["--tls-cert-file", crt, "--tls-key-file", key, "--tls-ca-cert-file", crt]
        for _ in range(3):  # somebody may take the port before the server does
            port = free_port()
            tls = ["--tls-port", str(port), *files, "--tls-auth-clients", "no"]
            server = RedisServer(args=[*tls, *args])
            started.append(server)
            try:
                server.start()
            except ServerError as error:
                said = str(error)
                continue
            patient = {"connect_timeout": 2, "read_timeout": 2, "write_timeout": 2}
            reach = {"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": crt}
            return server, reach | patient
        return leave(f"no redis-server with TLS could be started; was it built without? {said}")

    yield start
    for server in started:
        server.close()


def test_everything_works_over_tls(serve, address, works, make_layer):
    """Our own connections are encrypted, for threads and asyncio."""
    _, setting = serve(address)
    layer = make_layer(setting)
    assert works(layer)
    assert layer.describe().startswith("rediss://")


def test_a_certificate_for_another_name_is_refused(serve, perform, make_layer):
    """Host names are checked, unless the setting says otherwise."""
    _, setting = serve(x509.DNSName("elsewhere.example"))
    with pytest.raises(RemoteError, match=r"(?i)certificate"):
        perform(make_layer(setting), Fetch((THING,)))
    assert perform(make_layer({**setting, "ssl_check_hostname": False}), Create((THING,), LIFE))


def test_a_certificate_that_nobody_vouches_for_is_refused(serve, address, perform, make_layer):
    """The server's authority has to be known, unless the setting says otherwise."""
    _, setting = serve(address)
    del setting["ssl_ca_certs"]
    with pytest.raises(RemoteError, match=r"(?i)certificate"):
        perform(make_layer(setting), Fetch((THING,)))
    assert perform(make_layer({**setting, "ssl_cert_reqs": "none"}), Create((THING,), LIFE))


def test_a_cluster_is_reached_over_tls(serve, address, works, make_layer):
    """Nodes are found at the ports where they speak TLS."""
    server, setting = serve(address, args=["--cluster-enabled", "yes", "--tls-cluster", "yes"])
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    deadline = time.monotonic() + 15
    while "cluster_state:ok" not in server.command("CLUSTER", "INFO"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert works(make_layer({**setting, "cluster": True}))
