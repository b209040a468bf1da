"""How are the proxied paths described in OpenAPI?  Names as in Kubernetes' own description; no I/O.

The gateway serves these paths without FastAPI, so their description is written here, from the table of verbs
that the authorizer is asked with.
"""

from __future__ import annotations

from typing import Any

from bastion.kube.requestinfo import VERBS
from bastion.message.cookies import SESSION

Schema = dict[str, Any]

# What is proxied: the path up to the id, its name in an operationId, the resource in RBAC's words.
RESOURCES = (
    ("/api/v1/namespaces/{namespace}/pods/{name}", "NamespacedPod", "pods"),
    ("/api/v1/namespaces/{namespace}/services/{name}", "NamespacedService", "services"),
    ("/api/v1/nodes/{name}", "Node", "nodes"),
)

# The bastion's own answers: code, name, when, and the header that comes with it.
ERRORS = (
    (400, "BadRequest", "The path, the id or a header is malformed.", ""),
    (401, "Unauthorized", "No credential, or one that is not accepted.", "WWW-Authenticate"),
    (403, "Forbidden", "Not allowed, or not offered by this bastion.", ""),
    (404, "NotFound", "No such path, pod, service or node.", ""),
    (405, "MethodNotAllowed", "A method that no proxied path takes.", "Allow"),
    (414, "URITooLong", "The path and query are too long.", ""),
    (429, "TooManyRequests", "Try again later.", "Retry-After"),
    (
        503,
        "ServiceUnavailable",
        "No backend could be reached, or the API server cannot be asked.",
        "Retry-After",
    ),
    (504, "Timeout", "The backend did not answer in time.", ""),
)

HEADERS: Schema = {
    "X-Bastion-Error": {
        "description": "The reason. An answer without this header is the backend's own.",
        "schema": {"type": "string"},
    },
    "Allow": {"description": "The methods that are taken.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait, where waiting promises something.",
        "schema": {"type": "integer", "minimum": 0},
    },
}

STATUS: Schema = {
    "type": "object",
    "description": "A Kubernetes `Status` (meta/v1): what went wrong.",
    "required": ["kind", "apiVersion", "metadata", "status", "message", "code"],
    "properties": {
        "kind": {"const": "Status"},
        "apiVersion": {"const": "v1"},
        "metadata": {"type": "object"},
        "status": {"const": "Failure"},
        "message": {"type": "string", "description": "For people; never to be parsed."},
        "reason": {"type": "string", "description": "One word for programs."},
        "details": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "group": {"type": "string"},
                "kind": {"type": "string"},
                "uid": {"type": "string"},
                "causes": {"type": "array", "items": {"type": "object"}},
                "retryAfterSeconds": {"type": "integer", "minimum": 0},
            },
        },
        "code": {"type": "integer", "minimum": 400, "maximum": 599},
    },
}

PARAMETERS: Schema = {
    "name": {
        "name": "name",
        "in": "path",
        "required": True,
        "description": (
            "`[scheme:]name[:port]`, the scheme `http` or `https`, the port a number or a name. RBAC's"
            " `resourceNames` compares the whole of it: `web`, `web:80` and `http:web:80` are three names."
        ),
        "schema": {"type": "string", "minLength": 1},
        "examples": {
            "name": {"value": "web"},
            "port": {"value": "web:80"},
            "scheme": {"value": "https:web:8443"},
        },
    },
    "namespace": {
        "name": "namespace",
        "in": "path",
        "required": True,
        "description": "The namespace of the object.",
        "schema": {"type": "string", "minLength": 1},
    },
    "path": {
        "name": "path",
        "in": "path",
        "required": True,
        "description": (
            "The path at the backend. It may hold slashes, unencoded, and goes there as the bytes that came."
        ),
        "schema": {"type": "string"},
    },
    "query": {
        "name": "query",
        "in": "query",
        "description": "Any query; it goes to the backend as the bytes that came.",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}

SECURITY_SCHEMES: Schema = {
    "BearerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that the cluster accepts. The backend does not get to see it.",
    },
    "BastionAuthorization": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Bastion-Authorization",
        "description": (
            "`Bearer` and a token. Where it is sent it is the only credential looked at, and the backend gets"
            " the client's own `Authorization` untouched."
        ),
    },
    "SessionCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION.decode(),
        "description": (
            "What `/login` sets. It counts only where no token is sent, and not for what another site made"
            " the browser send; the backend does not get to see it."
        ),
    },
}

BACKEND_ANSWER: Schema = {"description": "Whatever the backend answers.", "content": {"*/*": {}}}
BACKEND_BODY: Schema = {"description": "Whatever the backend takes.", "content": {"*/*": {}}}
UPGRADED: Schema = {"description": "The backend speaks `websocket` or `SPDY/3.1` from here on."}


def _error(description: str, *headers: str) -> Schema:
    return {
        "description": description,
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Bastion-Error", *headers) if name
        },
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
    }


ERROR_ANSWER = _error("What went wrong.")


def with_proxied_paths(schema: Schema) -> Schema:
    """`schema` and the proxied paths with the components they refer to; `schema` itself is left as it is."""
    components = schema.get("components", {})
    added: Schema = {
        "schemas": {"Status": STATUS},
        "headers": HEADERS,
        "parameters": PARAMETERS,
        "responses": {name: _error(when, header) for _, name, when, header in ERRORS},
        "securitySchemes": SECURITY_SCHEMES,
    }
    return {
        **schema,
        "paths": {**schema["paths"], **_paths(), **_why()},
        "components": {
            **components,
            **{kind: {**components.get(kind, {}), **entries} for kind, entries in added.items()},
        },
    }


def _parameter(name: str, description: str, *, required: bool = False) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


_WHY: Schema = {
    "operationId": "why",
    "summary": "What would be done with a request, and why",
    "description": (
        "Walks the decisions in words and sends nothing to a backend. One's own rights; those of another user"
        " for those who may impersonate that user. `Accept: text/plain` for people."
    ),
    "tags": ["bastion"],
    "security": [{name: []} for name in SECURITY_SCHEMES],
    "parameters": [
        _parameter("target", "`services/NAMESPACE/ID`, `pods/NAMESPACE/ID` or `nodes/ID`", required=True),
        _parameter("verb", "An RBAC verb; without it `get`"),
        _parameter("user", "Another user; without it the caller"),
    ],
    "responses": {
        "200": {
            "description": "The steps, and the error that would be the answer, if any",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/plain": {}},
        },
        "default": ERROR_ANSWER,
    },
}


def _why() -> Schema:
    own = "`/why` in the form that is the bastion's own with `--pass-through`, too."
    return {
        "/why": {"get": _WHY},
        "/.bastion/why": {"get": {**_WHY, "operationId": "bastionWhy", "description": own}},
    }


def _paths() -> Schema:
    paths: Schema = {}
    for prefix, words, resource in RESOURCES:
        names = ["namespace", "name"] if "{namespace}" in prefix else ["name"]
        paths[f"{prefix}/proxy"] = _path_item(f"{words}Proxy", resource, [*names, "query"])
        paths[f"{prefix}/proxy/{{path}}"] = _path_item(
            f"{words}ProxyWithPath", resource, [*names, "path", "query"]
        )
    return paths


def _path_item(words: str, resource: str, parameters: list[str]) -> Schema:
    item: Schema = {
        method.lower(): _operation(method, verb, words, resource) for method, verb in VERBS.items()
    }
    item["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    return item


def _operation(method: str, verb: str, words: str, resource: str) -> Schema:
    operation: Schema = {
        "operationId": f"connectCoreV1{method.title()}{words}",
        "summary": f"Connect {method} requests to proxy of {resource.removesuffix('s').title()}",
        "description": _needs(verb, resource),
        "tags": ["proxy"],
        "security": [{name: []} for name in SECURITY_SCHEMES],
        "responses": _answers(method),
    }
    if method in ("POST", "PUT", "PATCH"):
        operation["requestBody"] = BACKEND_BODY
    return operation


def _needs(verb: str, resource: str) -> str:
    named = f"the verb `{verb}`" if verb else "the empty verb, which only a rule for `*` grants,"
    off = (
        " Nodes are not offered unless the bastion was started with `--enable-node-proxy`."
        if resource == "nodes"
        else ""
    )
    return f"Needs {named} on `{resource}/proxy`.{off}"


def _answers(method: str) -> Schema:
    answers: Schema = {str(code): {"$ref": f"#/components/responses/{name}"} for code, name, _, _ in ERRORS}
    if method in ("GET", "POST"):
        answers["101"] = UPGRADED
    return {**answers, "default": BACKEND_ANSWER}
