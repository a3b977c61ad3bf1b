"""A connection to one server: its key is sent nowhere else, and what comes back is bounded in time and in memory."""

import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager, make_headers
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from mixlm.data.values import parse_json
from mixlm.errors import InputError
from mixlm.generation.server.transport import deadline
from mixlm.shown import LEAST, redacted, without


if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PASSING = (408, 409, 429, 500, 502, 503, 504)  # statuses after which the same request may succeed
LONGEST_WAIT = 60  # seconds before a request is repeated, whatever the server says
MOST_BYTES = 2**23  # of an answer; one of 100,000 tokens has a fifth
MOST_SAID = 2**16  # bytes that are looked at of what a server says about its refusal
_SHOWN = 200  # letters of it that a message has
_REDIRECT, _MOST_DOUBLINGS = 300, 7
_MISSED = 3  # failures of a request, about two seconds after the first, before anybody is told


class NoAnswer(Exception):
    """A server that cannot be reached, breaks off or takes too long."""


class Reply(NamedTuple):
    """What a server sent.

    Attributes:
        status: Of HTTP.
        body: Its bytes; of a refusal the first ones.
        after: After how many seconds it asks to be asked again, if it does.
    """

    status: int
    body: bytes
    after: int | None = None

    @property
    def ok(self) -> bool:
        """Whether it is no refusal."""
        return self.status < 300

    def json(self) -> Any:
        """Return the body as JSON; None if it is none."""
        try:
            return parse_json(self.body.decode())
        except ValueError:
            return None


class Connection:
    """A connection to one server, for several threads.

    It goes to that address alone: no redirect is followed, no cookie kept, no password looked up in a file. A proxy of
    the environment is used for https only, where it cannot read what passes through.

    Args:
        url: The server's address, with or without ``/v1``; a name and password in it are sent in place of the key.
        connections: How many are kept open.
        retries: How often a request is repeated, after 0.5, 1, 2 .. seconds or as long as the server says.
        tell: Told why, when a request has failed several times and is repeated again.
        waited: Told now and then for how many seconds an answer has not come.

    Raises:
        InputError: If the address is none, or the key none that can be sent.
    """

    def __init__(
        self,
        url: str,
        connections: int,
        retries: int,
        tell: Callable[[str], None] = lambda why: None,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        parts = _parsed(url)
        self.retries, self.tell, self.waited = retries, tell, waited
        self.path = f"{(parts.path or '').rstrip('/').removesuffix('/v1')}/v1"
        bare = Url(parts.scheme, None, parts.host, parts.port)
        self.url = f"{bare}{self.path}"
        authorization, self.secrets = _authorization(parts.auth)
        identity = {"Accept-Encoding": "identity"}  # what is not packed does not grow when it is unpacked
        self.headers = {"Content-Type": "application/json", "User-Agent": "mixlm", **identity, **authorization}
        self.pool = _pool(bare, connections)

    def log_in(self, key: str) -> None:
        """Send this key, and no other."""
        self.headers["Authorization"], self.secrets = f"Bearer {key}", [key]

    def get(self, path: str) -> Reply:
        """Ask for ``path`` below the address, once.

        Raises:
            NoAnswer: If there is none.
            InputError: If the answer cannot be used.
        """
        return self._once("GET", path, None)

    def post(self, path: str, content: bytes) -> Reply:
        """Send JSON to ``path`` below the address; what may pass is tried again for ``deadline.PATIENCE`` seconds.

        Raises:
            NoAnswer: If there is none.
            InputError: If the answer cannot be used.
        """
        begun = time.monotonic()
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                reply = self._once("POST", path, content)
            except NoAnswer as error:
                if last or time.monotonic() - begun > deadline.PATIENCE:
                    raise
                reply, why = Reply(0, b""), str(error)
            else:
                if last or reply.status not in PASSING or time.monotonic() - begun > deadline.PATIENCE:
                    return reply
                why = f"status {reply.status}"
            if attempt + 1 == _MISSED:
                self.tell(why)
            time.sleep(min(reply.after or 0.5 * 2 ** min(attempt, _MOST_DOUBLINGS), LONGEST_WAIT))
        raise NoAnswer("it was never asked")

    def said(self, text: str) -> str:
        """Return what a server said in one short line, without the key that it was sent."""
        words = " ".join(redacted(text, self.secrets).split())
        return redacted(words, self.secrets)[:_SHOWN]

    def hidden(self, answer: str) -> str:
        """Return an answer without the key that the server was sent; all else in it is as it was sent."""
        return without(answer, self.secrets, LEAST)

    def _once(self, method: str, path: str, content: bytes | None) -> Reply:
        with deadline.Deadline(self._is_open, self.waited) as end:
            try:
                reply = self._sent(method, path, content)
                body = _read(reply, MOST_BYTES if reply.status < _REDIRECT else MOST_SAID)
                reply.release_conn()
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                raise NoAnswer(self.said(end.why or _reason(error))) from None
            if end.why:
                raise NoAnswer(end.why)
        return self._usable(reply.status, reply.headers, body)

    def _is_open(self) -> bool:
        """Tell whether the server takes connections; of one behind a proxy nobody knows."""
        return self.pool.proxy is not None or deadline.takes_connections(self.pool.host, self.pool.port)

    def _sent(self, method: str, path: str, content: bytes | None) -> "BaseHTTPResponse":
        how = {"redirect": False, "retries": False, "preload_content": False, "decode_content": False}
        return self.pool.urlopen(method, f"{self.path}{path}", content, self.headers, timeout=deadline.PATIENCE, **how)

    def _usable(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        """Return what was sent, or refuse what leads elsewhere, is packed or has no end."""
        if status in range(_REDIRECT, 400):
            raise InputError(
                f"{self.url}: sends on to {self.said(headers.get('Location', 'nowhere'))} (status {status}), where no "
                "key is sent; if you trust that address, give it as --endpoint"
            )
        packed = headers.get("Content-Encoding", "identity")
        if packed.lower() != "identity":
            raise InputError(f"{self.url}: its answer is packed ({self.said(packed)}), which it was asked not to do")
        if status < _REDIRECT and len(body) > MOST_BYTES:
            raise InputError(f"{self.url}: its answer is longer than {MOST_BYTES} bytes, so none to a question")
        after = re.fullmatch(r"\d{1,6}", headers.get("Retry-After", "").strip(), re.ASCII)
        return Reply(status, body[:MOST_BYTES], int(after[0]) if after else None)


def _parsed(url: str) -> Url:
    """Return the parts of an address, or refuse it without showing what may be a password."""
    shown = str(url).rpartition("@")[2].partition("?")[0].partition("#")[0]
    if not str(url).lower().startswith(("http://", "https://")):
        raise InputError(f"--endpoint {shown}: is no address of a server; begin with http:// or https://")
    try:
        parts = parse_url(url)
    except LocationParseError:
        parts = Url()
    if not parts.host or parts.query is not None or parts.fragment is not None:
        raise InputError(
            f"--endpoint {shown}: is no address of a server; write http://HOST:PORT or https://HOST, and signs that "
            "an address cannot hold as %XX"
        )
    return parts


def _authorization(auth: str | None) -> tuple[dict[str, str], list[str]]:
    """Return the header that tells the server who asks, and all in it that is secret.

    Args:
        auth: Name and password as the address has them; None: the key of the environment, if there is one.
    """
    if auth is not None:
        name, _, password = map(unquote, auth.partition(":"))
        basic = b64encode(f"{name}:{password}".encode()).decode()
        return {"Authorization": f"Basic {basic}"}, [basic, auth, f"{name}:{password}", password]
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key:
        return {}, []
    if not (key.isascii() and key.isprintable()):
        raise InputError("OPENAI_API_KEY: is no key: it holds what no header may; set it again, without line breaks")
    return {"Authorization": f"Bearer {key}"}, [key]


def _pool(address: Url, connections: int) -> HTTPConnectionPool:
    """Return the connections to an address, by the environment's proxy if it is one of https."""
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    secure = address.scheme == "https"
    proxy = select_proxy(address.url, get_environ_proxies(address.url)) if secure else None
    settings = {"maxsize": connections, "ca_certs": trusted} if secure else {"maxsize": connections}
    if proxy:
        auth = parse_url(proxy).auth
        headers = make_headers(proxy_basic_auth=unquote(auth)) if auth else None
        manager = ProxyManager(proxy, proxy_headers=headers, **settings)
    else:
        manager = PoolManager(**settings)
    pool = manager.connection_from_host(address.host, address.port, address.scheme)
    pool.ConnectionCls = deadline.Https if secure else deadline.Http
    return pool


def _read(reply: "BaseHTTPResponse", most: int) -> bytes:
    """Return a body, or its first ``most`` bytes and some more."""
    body = bytearray()
    while len(body) <= most and (block := reply.read(MOST_SAID)):
        body += block
    if len(body) > most:
        reply.close()  # and nothing more is taken
    return bytes(body)


def _reason(error: BaseException) -> str:
    """Return the innermost reason of a failed request."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return str(error) or type(error).__name__
