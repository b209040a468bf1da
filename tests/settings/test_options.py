"""Is every option read from each source, does each source go before the next, and is every mistake placed?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bastion.cli.dump import dumped
from bastion.cli.help import Manual, help_text
from bastion.kube.documents import documents, yaml_of
from bastion.settings import kinds, reference
from bastion.settings.commands import DemoOptions, ProbeOptions, StandaloneOptions, variables
from bastion.settings.config import config_of, serve_config
from bastion.settings.load import Loaded, load, value_of
from bastion.settings.option import Option, camel_case, option, options_of, section, sections_of
from bastion.settings.options import Options

ROOT = Path(__file__).parents[2]
ROWS = options_of(Options)
MANUAL = Manual("bastion serve", "s", ("port",), (("e", "bastion serve"),))
IN_FILE = [row for row in ROWS if row.section]
EVERY = [*ROWS, *options_of(StandaloneOptions), *options_of(DemoOptions), *options_of(ProbeOptions)]

HEAD = "apiVersion: bastion.dev/v1alpha1\nkind: BastionConfiguration\n"

# A value that is no default, by the kind's metavar.
EXAMPLES = {
    "PATH": "/there",
    "NAME": "X_Tenant",
    "URL": "https://a.test",
    "A,B": "a",
    "N": "7",
    "ID": "id",
    "CLAIM": "email",
    "PREFIX": "p:",
    "CLAIM=VALUE": "hd=a",
    "DURATION": "1h30m",
    "SIZE": "10Mi",
    "IP": "10.1.2.3",
    "PORT": "1234",
    "CIDR": "10.0.0.0/8",
    "RESOURCES": "pods",
    "DOMAIN": "proxy.test",
    "LEVEL": "3",
    "RATIO": "0.5",
    "text|json": "json",
    "json|legacy": "legacy",
    "batch|blocking|blocking-strict": "blocking-strict",
    "audit.k8s.io/v1": "audit.k8s.io/v1",
    "none|impersonate|requestheader": "impersonate",
    "none|user": "user",
    "none|prometheus.io": "prometheus.io",
    "NAMESPACE/NAME": "bastion/probes",
    "TEXT": "declared-too",
    "[IP:]PORT": "127.0.0.1:9090",
}


def example(row: Option) -> str:
    if row.kind.is_switch:
        return str(not row.default).lower()
    return "ES256" if row.flag == "oidc-signing-algs" else EXAMPLES[row.kind.metavar]


def in_file(row: Option, value: Any) -> str:
    head = {"apiVersion": "bastion.dev/v1alpha1", "kind": "BastionConfiguration"}
    return yaml_of(head | {camel_case(row.section): {camel_case(row.name): value}})


def of_file(text: str, *argv: str, environment: dict[str, str] | None = None) -> Loaded[Options]:
    return load(Options, ["--config=bastion.yaml", *argv], environment or {}, lambda file: text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.flag)
def test_an_option_is_read_from_every_source(row: Option) -> None:
    text = example(row)
    by_flag = load(Options, [f"--{row.flag}", text], {})
    value = value_of(by_flag.options, row)
    assert value != row.default or len(row.kind.words) == 1
    assert (by_flag.origins[row.key], by_flag.at(row.key)) == ("flag", f"--{row.flag}")
    by_variable = load(Options, [], {row.variable: text})
    assert value_of(by_variable.options, row) == value
    assert (by_variable.origins[row.key], by_variable.at(row.key)) == ("environment", row.variable)
    assert by_flag.mistakes == by_variable.mistakes == () or row.key == "config"
    if row.section:
        by_file = of_file(in_file(row, row.kind.to_document(value)))
        assert by_file.mistakes == ()
        assert value_of(by_file.options, row) == value
        assert (by_file.origins[row.key], by_file.at(row.key)) == ("file", f"bastion.yaml: {row.path}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.section], ids=lambda row: row.flag)
def test_nonsense_is_placed_where_it_was_written(row: Option) -> None:
    for loaded in (of_file(in_file(row, {"a": "b"})),):
        assert [line.partition(": must be ")[0] for line in loaded.mistakes] == [f"bastion.yaml: {row.path}"]
    if row.kind.parse not in (str, kinds.path, kinds.TEXT.parse):
        assert [line.partition(":")[0] for line in load(Options, [f"--{row.flag}=§ "], {}).mistakes] == [
            f"--{row.flag}"
        ]
        assert load(Options, [], {row.variable: "§ "}).mistakes[0].startswith(f"{row.variable}: ")


def test_names_are_unique_and_none_is_a_services() -> None:
    for names in ([row.flag for row in ROWS], [row.variable for row in ROWS], [row.path for row in IN_FILE]):
        assert len(names) == len(set(names))
    everything = dict.fromkeys(SERVICES, "tcp://10.0.0.1:443")
    assert load(Options, [], everything).mistakes == ()
    assert set(load(Options, [], everything).origins.values()) == {"default"}


# As a kubelet sets them for Services called bastion, bastion-serving and bastion-limits-x.
SERVICES = [
    f"{service}_{name}"
    for service in ("BASTION", "BASTION_SERVING", "BASTION_LIMITS_X")
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTPS",
        "PORT",
        "PORT_8443_TCP",
        "PORT_8443_TCP_PROTO",
        "PORT_8443_TCP_PORT",
        "PORT_8443_TCP_ADDR",
        "PORT_53_UDP",
    )
]


def test_a_flag_goes_before_a_variable_and_that_before_the_file() -> None:
    text = "apiVersion: bastion.dev/v1alpha1\nkind: BastionConfiguration\nserving: {port: 1, workers: 2}\n"
    variable = {"BASTION_SERVING_PORT": "3"}
    assert of_file(text).options.serving.port == 1
    assert of_file(text, environment=variable).options.serving.port == 3
    given = of_file(text, "--port=4", environment=variable)
    assert (given.options.serving.port, given.options.serving.workers) == (4, 2)
    origins = [given.origins[f"serving.{name}"] for name in ("port", "workers", "bind_address")]
    assert origins == ["flag", "file", "default"]


def test_every_mistake_of_every_source_is_told_at_once() -> None:
    text = """
        apiVersion: bastion.dev/v1
        kind: BastionConfiguration
        streams: {maxDurations: 1h, drain: 5}
        limitz: {}
        serving: {port: "8443", workers: 0, workers: 1}
        """
    argv = ("--port=70000", "--wokers=2", "--check=maybe", "stray", "--bind-address")
    variable = {"BASTION_LIMITS_LOOKUP_QP": "1", "BASTION_PORT": "1", "BASTION_LIMITS_LOOKUP_QPS": "x"}
    loaded = of_file(text, *argv, environment=variable)
    assert sorted(loaded.mistakes) == sorted(
        [
            "--port: 70000 is not a port number (1 to 65535)",
            "--wokers: unknown flag (did you mean --workers?)",
            "--check: maybe is neither true nor false",
            "--bind-address: a value is missing (IP)",
            "stray: unexpected argument",
            "BASTION_LIMITS_LOOKUP_QP: unknown variable (did you mean BASTION_LIMITS_LOOKUP_QPS?)",
            "BASTION_PORT: unknown variable (did you mean BASTION_SERVING_PORT?)",
            "BASTION_LIMITS_LOOKUP_QPS: x is not a whole number of 0 or more",
            "bastion.yaml: apiVersion: must be bastion.dev/v1alpha1",
            "bastion.yaml: streams.maxDurations: unknown field (did you mean maxDuration?)",
            "bastion.yaml: streams.drain: 5 is not a duration such as 30s, 5m or 1h30m",
            "bastion.yaml: limitz: unknown section (did you mean limits?)",
            "bastion.yaml: serving.port: must be an integer",
            "bastion.yaml: serving.workers: is there twice",
        ]
    )


FILES = [
    ("", "bastion.yaml: empty, not a BastionConfiguration"),
    ("a: [", "bastion.yaml: line "),
    ("[]", "bastion.yaml: must be an object"),
    ("{}\n---\n{}", "bastion.yaml: more than one document"),
]


@pytest.mark.parametrize(("text", "why"), FILES)
def test_a_file_that_is_none(text: str, why: str) -> None:
    assert of_file(text).mistakes[0].startswith(why)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert load(Options, [f"--config={none}"], {}).mistakes == (f"--config: {none}: no such file",)
    assert load(Options, [], {"BASTION_CONFIG": str(tmp_path)}).mistakes == (
        f"BASTION_CONFIG: {tmp_path}: is a directory",
    )


def test_relative_paths_begin_where_the_file_is(tmp_path: Path) -> None:
    file = tmp_path / "bastion.yaml"
    row = next(row for row in ROWS if row.flag == "manifests")
    file.write_text(in_file(row, ["a", "/b"]))
    given = load(Options, ["--config", str(file)], {})
    assert given.options.source.manifests == (tmp_path / "a", Path("/b"))


def test_a_contradiction_is_told_where_its_parts_were_written() -> None:
    row = next(row for row in ROWS if row.flag == "insecure-port")
    with pytest.raises(Exception, match="must differ") as caught:
        config_of(of_file(in_file(row, 8080), environment={"BASTION_SERVING_PORT": "8080"}))
    assert str(caught.value) == "bastion.yaml: serving.insecurePort and BASTION_SERVING_PORT must differ"


def test_variables_of_other_commands_are_no_mistake() -> None:
    variable = {"BASTION_DEMO_PORT": "1"}
    assert load(Options, [], variable, others=variables()).mistakes == ()
    assert load(DemoOptions, [], variable).options.demo.port == 1
    assert load(DemoOptions, [], {"BASTION_SERVING_PORT": "1"}, others=variables()).mistakes == ()


def test_what_is_dumped_is_read_again_as_the_same(tmp_path: Path) -> None:
    argv = [f"--{row.flag}={example(row)}" for row in IN_FILE]
    given = load(Options, argv, {})
    again = of_file(dumped(given))
    assert again.mistakes == ()
    assert dataclasses.replace(again.options, start=given.options.start) == given.options
    assert "port: 1234  # flag --port" in dumped(given)
    assert "port: 8443  # default" in dumped(load(Options, [], {}))


# --- help, reference, schema


def test_help_has_every_flag_and_default() -> None:
    for columns in (60, 100, 400):
        shown = help_text(
            Options, Manual("bastion serve", "s", ("port",), (("e", "bastion serve"),)), columns
        )
        assert max(map(len, shown.splitlines())) <= 120
        assert all(f"--{row.flag}" in shown for row in ROWS)
        assert shown.index("--port") < shown.index("--kubeconfig")
        assert shown.rstrip().endswith("bastion serve")
    assert "default 12h" in shown


def test_the_reference_is_up_to_date() -> None:
    for name, text in reference.files().items():
        assert (ROOT / "docs/reference" / name).read_text() == text, "run make reference"


def test_the_reference_has_every_option() -> None:
    text = reference.markdown()
    for row in ROWS:
        assert f"`--{row.flag}`" in text
        assert f"`{row.variable}`" in text
    assert all(f"`{row.path}`" in text for row in IN_FILE)


def test_the_schema_knows_the_fields_that_are_read() -> None:
    properties = reference.schema()["properties"]
    known = {f"{name}.{inner}" for name, part in properties.items() for inner in part.get("properties", ())}
    assert known == {row.path for row in IN_FILE}
    Draft202012Validator.check_schema(reference.schema())


VALID = [
    ("everything by default", dumped(load(Options, [], {})), True),
    (
        "everything by flags",
        dumped(load(Options, [f"--{row.flag}={example(row)}" for row in IN_FILE], {})),
        True,
    ),
    ("a section of another program", HEAD + "node: {mode: nftables}\nserving: {port: 7000}", True),
    ("which is no object", HEAD + "node: nftables", False),
    ("an unknown field", HEAD + "serving: {prt: 1}", False),
    ("a port that is none", HEAD + "serving: {port: 70000}", False),
    ("another kind of value", HEAD + "observing: {logFormat: xml}", False),
    ("no kind", "apiVersion: bastion.dev/v1alpha1", False),
]


@pytest.mark.parametrize(("text", "valid"), [row[1:] for row in VALID], ids=[row[0] for row in VALID])
def test_the_schema_and_the_program_are_of_one_mind(text: str, valid: bool) -> None:
    (document,) = documents(text)
    assert Draft202012Validator(reference.schema()).is_valid(document.value) == valid
    assert (of_file(text).mistakes == ()) == valid


def test_defaults_are_those_of_the_sections() -> None:
    given = serve_config([])
    for part in sections_of(Options):
        for row in part.options:
            assert value_of(Options(), row) == row.default
    assert given.timeouts == Options().timeouts


def test_every_row_has_help_and_no_default_of_another_kind() -> None:
    for row in EVERY:
        assert row.help
        assert not row.help.endswith(".")
        if row.default not in (None, "", (), frozenset()):
            assert row.kind.of_document(row.kind.to_document(row.default)) == row.default


@pytest.mark.parametrize(("name", "camel"), [("kube_api_qps", "kubeAPIQPS"), ("allow_cidrs", "allowCIDRs")])
def test_names_in_a_file_are_written_as_kubernetes_writes_them(name: str, camel: str) -> None:
    assert camel_case(name) == camel


def test_a_new_row_is_all_that_a_new_option_needs() -> None:
    @dataclasses.dataclass(frozen=True)
    class Part:
        pause_ttl: float = option("pause", kinds.DURATION, 1.5, "how long", short="p")

    whole = dataclasses.make_dataclass("whole", [("part", Part, section(Part, "part"))], frozen=True)
    assert load(whole, ["-p", "2s"], {}).options.part.pause_ttl == 2.0
    assert load(whole, [], {"BASTION_PART_PAUSE_TTL": "3s"}).options.part.pause_ttl == 3.0
    assert "-p, --pause DURATION\n      how long (default 1s500ms)" in help_text(whole, Manual("x", "y"), 80)
