"""· The words by which the bastion's own errors are known: one table.

From it come `X-Bastion-Error`, the first cause of a `Status`, the access log's and the metrics' labels,
docs/reference/errors.md and the texts of the page for people.  A word is never renamed; new ones may come.
`Status.reason` stays one of Kubernetes' own, because client-go and kubectl decide by it.
"""

from __future__ import annotations

from typing import Protocol

from bastion.kube.errorword import REASONS, Hop, Word

WORDS: dict[str, Word] = {}


class _Row(Protocol):
    def __call__(self, name: str, codes: int | tuple[int, ...], meaning: str, remedy: str) -> Word: ...


def _row(hop: Hop, told: str) -> _Row:
    def add(name: str, codes: int | tuple[int, ...], meaning: str, remedy: str) -> Word:
        word = Word(name, (codes,) if isinstance(codes, int) else codes, hop, told, meaning, remedy)
        assert word.name not in WORDS and REASONS.keys() >= {*word.codes}
        WORDS[name] = word
        return word

    return add


_FOR_ID = "those who are authorized for that id"
_client = _row(Hop.CLIENT, "everyone")
_token = _row(Hop.CLIENT, "the token's holder")
_right = _row(Hop.CLIENT, "the signed-in user")
_path = _row(Hop.BASTION, "the signed-in user")
_closed = _row(Hop.BASTION, "those who are authorized")
_bastion = _row(Hop.BASTION, "everyone")
_service = _row(Hop.SERVICE, _FOR_ID)
_endpoint = _row(Hop.ENDPOINT, _FOR_ID)
_backend = _row(Hop.BACKEND, _FOR_ID)
_api_server = _row(Hop.API_SERVER, "everyone")

# --- credentials

NO_CREDENTIALS = _client(
    "NoCredentials",
    (401, 407),
    "the request carries no credentials",
    "send `Authorization: Bearer <token>`, or sign in",
)
UNKNOWN_CREDENTIAL_SCHEME = _client(
    "UnknownCredentialScheme",
    (401, 407),
    "Authorization holds something other than a bearer token",
    "use the scheme Bearer",
)
TOKEN_EXPIRED = _token(
    "TokenExpired", (401, 407), "the token itself says that its time is over", "get a new token"
)
TOKEN_FOR_OTHER_AUDIENCE = _token(
    "TokenForOtherAudience",
    (401, 407),
    "the token names audiences, none of which is accepted here",
    "ask for a token of one of the accepted audiences",
)
TOKEN_OF_UNKNOWN_ISSUER = _token(
    "TokenOfUnknownIssuer",
    (401, 407),
    "the token names an issuer that is not known here",
    "use a token of this cluster or of a configured issuer",
)
TOKEN_NOT_ACCEPTED = _client(
    "TokenNotAccepted",
    (401, 407),
    "the token is refused, and nothing more is told: the client may be guessing",
    "check which cluster the token is of",
)
UNREADABLE_REQUEST = _client(
    "UnreadableRequest",
    (400, 408, 413, 414, 415, 417, 431, 501, 505),
    "the request itself is malformed, too large or too slow",
    "mend the request as the message says",
)

# --- rights

MISSING_RULE = _right(
    "MissingRule", 403, "no rule of the cluster's RBAC allows it", "have an administrator apply the rule"
)
IMPERSONATION_NOT_ALLOWED = _right(
    "ImpersonationNotAllowed",
    403,
    "no rule allows to act as that user, group or service account",
    "have an administrator apply the rule",
)
UPGRADE_NEEDS_CREATE = _right(
    "UpgradeNeedsCreate",
    403,
    "a stream was asked for, get is allowed and create is not",
    "have an administrator add the verb create",
)
ACCESS_REVOKED = _right(
    "AccessRevoked",
    403,
    "what the request stood on was taken back before it was answered",
    "sign in anew, or have an administrator look at the rules",
)
IDENTITY_NOT_PASSED_ON = _path(
    "IdentityNotPassedOn",
    (403, 401),
    "the API servers are not told of such a user, because the bastion's rules for it say so",
    "ask the operator",
)
NODE_PROXY_OFF = _closed(
    "NodeProxyOff", 403, "the bastion runs without --enable-node-proxy", "ask the operator"
)
TUNNELS_OFF = _closed("TunnelsOff", 403, "the bastion runs without --enable-tunnels", "ask the operator")
MODULE_NOT_HERE = _closed(
    "ModuleNotHere", 403, "the probe module may not be aimed at this target", "ask the operator"
)
KUBELET_PATH_REFUSED = _closed(
    "KubeletPathRefused",
    (403, 400),
    "a path or a way to a kubelet that is closed here",
    "use the API server for it",
)

# --- path

NOT_A_PROXY_PATH = _path(
    "NotAProxyPath",
    404,
    "the path is none that is served; the nearest one that is served is told",
    "use the path in the message",
)
METHOD_NOT_SERVED = _closed(
    "MethodNotServed", (405, 403), "a method that has no RBAC verb", "use another method"
)
BAD_TARGET = _closed("BadTarget", 400, "the id is not of the form [scheme:]name[:port]", "write it so")
PATH_UNCLEAR = _closed(
    "PathUnclear",
    400,
    "the service has rights by path, and backends read a path that is spelt like this differently",
    "ask for the path without percent-encoding, dot segments, empty segments, `;` and `\\`",
)
HOST_NAME_UNCLEAR = _bastion(
    "HostNameUnclear",
    400,
    "the host name under the suffix does not name one application",
    "use the path form, which is told",
)
PAGE_NOT_OFFERED = _path(
    "PageNotOffered",
    403,
    "a page or a button that is off while --sandbox-pages=false",
    "the operator may leave --sandbox-pages on",
)
STREAM_NOT_FOUND = _path(
    "StreamNotFound",
    404,
    "no such stream is open, or it is not the user's to see",
    "look at the list of streams again",
)

# --- target

SERVICE_NOT_FOUND = _service(
    "ServiceNotFound", 404, "there is no such service", "mind the name and the namespace"
)
POD_NOT_FOUND = _service("PodNotFound", 404, "there is no such pod", "pods get new names: prefer the service")
NODE_NOT_FOUND = _service("NodeNotFound", 404, "there is no such node", "mind the name")
NAMESPACE_NOT_SERVED = _row(Hop.BASTION, _FOR_ID)(
    "NamespaceNotServed", 404, "the bastion serves other namespaces only (--namespaces)", "ask the operator"
)
NO_SUCH_PORT = _service(
    "NoSuchPort", (503, 400, 404), "the service or pod has no such port", "name one of those that it has"
)
PORT_NEEDED = _service(
    "PortNeeded", 503, "the service has several ports, and the request names none", "name one of them"
)
EXTERNAL_NAME_NOT_FOLLOWED = _service(
    "ExternalNameNotFollowed", 503, "the service is of type ExternalName", "proxy to a service with endpoints"
)
NO_SELECTOR = _service(
    "NoSelector",
    503,
    "the service has no selector and no endpoint slices",
    "add a selector, or slices whose targetRef are pods",
)
SELECTOR_MATCHES_NOTHING = _service(
    "SelectorMatchesNothing",
    503,
    "the selector matches no pod of the namespace",
    "compare it with the pods' labels",
)

# --- endpoints

PODS_NOT_READY = _endpoint(
    "PodsNotReady", 503, "the service has pods, and none of them is ready", "look at the pods"
)
ALL_TERMINATING = _endpoint("AllTerminating", 503, "all endpoints are terminating", "wait for new ones")
ADDRESS_REFUSED = _endpoint(
    "AddressRefused",
    (503, 400),
    "the address is not one that this bastion may dial (--allow-target-cidr)",
    "the operator may name its network in --allow-target-cidr",
)
ENDPOINTS_NOT_OF_PODS = _endpoint(
    "EndpointsNotOfPods",
    503,
    "the endpoints do not belong to live pods of the service's own namespace",
    "give them a targetRef to such pods",
)
POD_HAS_NO_ADDRESS = _endpoint(
    "PodHasNoAddress",
    (400, 503),
    "the pod has no address of its own yet, or no longer",
    "wait, or look at the pod",
)
NODE_HAS_NO_ADDRESS = _endpoint(
    "NodeHasNoAddress", 503, "the node's status has no address that is an IP", "look at the node"
)
CONNECTION_REFUSED = _endpoint(
    "ConnectionRefused",
    503,
    "nothing listens at the endpoint's port",
    "check the port that the container listens on, and that it does not listen on 127.0.0.1 alone",
)
CONNECT_TIMEOUT = _endpoint(
    "ConnectTimeout",
    503,
    "no connection to the endpoint in time, or no route to it",
    "perhaps a NetworkPolicy: the bastion must be allowed in",
)

# --- backend

BACKEND_SPEAKS_TLS = _backend(
    "BackendSpeaksTLS",
    503,
    "asked in plain HTTP, the backend speaks TLS",
    "write https:name:port as in the message",
)
BACKEND_SPEAKS_PLAIN = _backend(
    "BackendSpeaksPlain",
    503,
    "asked over TLS, the backend does not speak it",
    "write http:name:port as in the message",
)
CERTIFICATE_NOT_TRUSTED = _backend(
    "CertificateNotTrusted",
    503,
    "the backend's certificate is of an unknown authority, for another name, or past its time",
    "give the bastion the authority, or the backend another certificate, as the message says",
)
CLOSED_BEFORE_ANSWER = _backend(
    "ClosedBeforeAnswer",
    503,
    "the backend ended the connection before it answered",
    "look at the backend's log",
)
ANSWER_NOT_UNDERSTOOD = _backend(
    "AnswerNotUnderstood",
    503,
    "the backend's answer is not the HTTP that it was asked in, or its head is too large",
    "mend the backend as the message says",
)
ANSWER_TIMEOUT = _backend("AnswerTimeout", 504, "the backend did not answer in time", "look at the backend")

# --- the bastion and the API server

BASTION_NOT_PERMITTED = _row(Hop.API_SERVER, "everyone; which right is missing: the signed-in user")(
    "BastionNotPermitted",
    503,
    "the bastion itself may not review tokens, review access, or read the objects",
    "the operator grants the right in the message",
)
API_SERVER_AWAY = _api_server(
    "ApiServerAway",
    (503, 504, 502),
    "the API server does not answer, answers too late, or was not yet read",
    "try again shortly",
)
OVERLOADED = _row(Hop.BASTION, "the client that the limit is for")(
    "Overloaded",
    (429, 503),
    "a limit of the bastion is reached; whose, and which flag, is told",
    "try again shortly; the operator may raise the limit",
)
STOPPING = _bastion(
    "Stopping", 503, "the bastion or the target went away while the request was under way", "try again"
)
INTERNAL_ERROR = _bastion(
    "InternalError",
    500,
    "the bastion failed; its log has the cause under the request's audit id",
    "tell the operator the audit id",
)
