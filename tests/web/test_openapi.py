"""Is `openapi/bastion.json` what the code says, valid, and named as in Kubernetes?"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bastion.kube.requestinfo import VERBS, parse_proxied
from bastion.web.app import create_app
from bastion.web.openapi import document, text
from bastion.web.proxied import ERRORS

ROOT = Path(__file__).parents[2]
CHECKED_IN = ROOT / "openapi" / "bastion.json"
METHODS = {method.lower() for method in VERBS}


def operations() -> Iterator[Any]:
    for path, item in document()["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def proxied() -> Any:
    return {path: item for path, item in document()["paths"].items() if path.startswith("/api/v1/")}


def test_the_checked_in_file_is_what_the_code_says() -> None:
    assert CHECKED_IN.read_text() == text(), "run: python -m bastion.web.openapi > openapi/bastion.json"


def test_the_file_is_valid_openapi_3_1() -> None:
    schema = json.loads(CHECKED_IN.read_text())
    assert schema["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(schema).validate()


def test_a_running_bastion_serves_the_same() -> None:
    async def get() -> Any:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app({}, {}, bytes)),  # type: ignore[arg-type]
            base_url="https://bastion",
        ) as client:
            return await client.get("/openapi.json")

    assert asyncio.run(get()).json() == json.loads(CHECKED_IN.read_text())


def test_it_is_written_once_for_all_who_ask() -> None:
    app = create_app({}, {}, bytes)  # type: ignore[arg-type]

    async def get() -> Any:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://bastion"
        ) as client:
            first = await client.get("/openapi.json")
            app.openapi_schema = {"written": "again"}
            return first, await client.get("/openapi.json")

    first, second = asyncio.run(get())
    assert first.headers["content-type"] == "application/json"
    assert first.content == second.content


def test_own_paths_are_there_in_both_forms() -> None:
    paths = document()["paths"]
    own = {path for path in paths if not path.startswith(("/api/", "/.bastion/"))}
    assert {path.removeprefix("/.bastion") for path in paths if path.startswith("/.bastion/")} == own
    served = re.findall(r'b"(/probe[^"]*)"', (ROOT / "bastion" / "wiring" / "probing.py").read_text())
    assert served
    assert {path for path in own if path.startswith("/probe")} == set(served)
    assert {"/readyz", "/readyz/{check}", "/metrics", "/version", "/login", "/logout"} <= own
    for path in own:
        for method in METHODS & paths[path].keys():
            assert paths["/.bastion" + path][method]["responses"] == paths[path][method]["responses"]


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


NAMES = [
    ("/api/v1/namespaces/{namespace}/pods/{name}/proxy", "get", "connectCoreV1GetNamespacedPodProxy"),
    (
        "/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}",
        "options",
        "connectCoreV1OptionsNamespacedPodProxyWithPath",
    ),
    (
        "/api/v1/namespaces/{namespace}/services/{name}/proxy",
        "post",
        "connectCoreV1PostNamespacedServiceProxy",
    ),
    (
        "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}",
        "put",
        "connectCoreV1PutNamespacedServiceProxyWithPath",
    ),
    ("/api/v1/nodes/{name}/proxy", "head", "connectCoreV1HeadNodeProxy"),
    ("/api/v1/nodes/{name}/proxy/{path}", "delete", "connectCoreV1DeleteNodeProxyWithPath"),
]


@pytest.mark.parametrize(("path", "method", "name"), NAMES)
def test_proxied_operations_are_named_as_in_kubernetes(path: Any, method: Any, name: Any) -> None:
    assert proxied()[path][method]["operationId"] == name


def test_six_proxied_paths_take_seven_methods_each() -> None:
    assert [METHODS & item.keys() for item in proxied().values()] == [METHODS] * 6


@pytest.mark.parametrize("path", sorted(proxied()))
def test_a_proxied_path_is_one_to_the_gateway_too(path: str) -> None:
    assert parse_proxied("GET", re.sub(r"{\w+}", "x", path).encode()) is not None


@pytest.mark.parametrize("path", sorted(proxied()))
def test_every_placeholder_is_a_documented_parameter(path: Any) -> None:
    components = document()["components"]["parameters"]
    used = [components[reference["$ref"].rpartition("/")[2]] for reference in proxied()[path]["parameters"]]
    assert {parameter["name"] for parameter in used if parameter["in"] == "path"} == set(
        re.findall(r"{(\w+)}", path)
    )
    assert all(parameter["description"] for parameter in used)


def test_every_error_is_a_status_marked_as_the_bastions_own() -> None:
    components = document()["components"]
    for item in proxied().values():
        for method in METHODS:
            answers = item[method]["responses"]
            assert {"400", "401", "403", "404", "405", "429", "503", "504", "default"} <= answers.keys()
            assert item[method]["security"] == [
                {"BearerToken": []},
                {"BastionAuthorization": []},
                {"SessionCookie": []},
            ]
            for code, name, _, _ in ERRORS:
                assert answers[str(code)] == {"$ref": f"#/components/responses/{name}"}
    for answer in components["responses"].values():
        assert "X-Bastion-Error" in answer["headers"]
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Status"}


def test_building_twice_gives_the_same() -> None:
    assert text() == text()
