"""· Which issuers does an AuthenticationConfiguration file describe?

The file is a part of what kube-apiserver's --authentication-config takes: a field that means nothing here is
refused by its path, so that no rule is left out in silence.
"""

from __future__ import annotations

from typing import Any

from bastion.kube.documents import documents
from bastion.settings.issuer import Issuer, wrong_prefix, wrong_url
from bastion.settings.yamlreader import Reader

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")


def read_configuration(text: str) -> tuple[tuple[Issuer, ...], list[str]]:
    """The issuers, and every mistake by its path.  Raises ValueError where it is not YAML of one meaning."""
    try:
        read = list(documents(text))
    except ValueError as error:
        raise ValueError(f"not YAML: {error}") from error
    for path in read[0].repeated if read else ():
        raise ValueError(f"{path}: is there twice")  # which of the two is meant?
    reader = Reader()
    if len(read) > 1:
        reader.mistakes.append("the file: must be one document")
    document = read[0].value if read else None
    top = reader.object(document, "", ("apiVersion", "kind", "jwt"))
    if top.get("kind") != "AuthenticationConfiguration":
        reader.mistakes.append("kind: must be AuthenticationConfiguration")
    if top.get("apiVersion") not in API_VERSIONS:
        reader.mistakes.append(f"apiVersion: must be {' or '.join(API_VERSIONS)}")
    issuers = tuple(
        _issuer(reader, entry, f"jwt[{i}]") for i, entry in enumerate(reader.list(top, "jwt", ""))
    )
    for i, issuer in enumerate(issuers):
        if issuer.url and issuer.url in (other.url for other in issuers[:i]):
            reader.mistakes.append(f"jwt[{i}].issuer.url: {issuer.url} is there twice")
    return issuers, reader.mistakes


def _issuer(reader: Reader, value: Any, path: str) -> Issuer:
    entry = reader.object(value, path, ("issuer", "claimMappings", "claimValidationRules"))
    at = f"{path}.issuer"
    issuer = reader.object(
        entry.get("issuer"), at, ("url", "certificateAuthority", "audiences", "audienceMatchPolicy")
    )
    url = reader.text(issuer, "url", at)
    reader.wrong(f"{at}.url", wrong_url(url) if url else "")
    audiences = reader.list(issuer, "audiences", at)
    if not all(isinstance(audience, str) and audience for audience in audiences):
        reader.wrong(f"{at}.audiences", "must be strings that are not empty")
    if issuer.get("audienceMatchPolicy", "MatchAny") not in ("MatchAny", ""):
        reader.wrong(f"{at}.audienceMatchPolicy", "must be MatchAny")
    authority = reader.text(issuer, "certificateAuthority", at, required=False, empty=True)
    at = f"{path}.claimMappings"
    mappings = reader.object(entry.get("claimMappings"), at, ("username", "groups"))
    username_claim, username_prefix = _mapping(reader, mappings.get("username"), f"{at}.username", "username")
    groups = mappings.get("groups")
    groups_claim, groups_prefix = (
        _mapping(reader, groups, f"{at}.groups", "groups") if groups is not None else ("", "")
    )
    rules = (
        reader.list(entry, "claimValidationRules", path)
        if entry.get("claimValidationRules") is not None
        else []
    )
    required = tuple(_rule(reader, rule, f"{path}.claimValidationRules[{i}]") for i, rule in enumerate(rules))
    return Issuer(
        url,
        tuple(audiences),
        username_prefix,
        username_claim,
        groups_claim=groups_claim,
        groups_prefix=groups_prefix,
        required_claims=required,
        certificate_authority=authority,
    )


def _mapping(reader: Reader, value: Any, path: str, kind: str) -> tuple[str, str]:
    """(claim, prefix)"""
    mapping = reader.object(value, path, ("claim", "prefix"))
    mandatory = kind == "username"  # else a name could be anybody's
    claim = reader.text(mapping, "claim", path)
    prefix = reader.text(mapping, "prefix", path, required=mandatory, empty=not mandatory)
    reader.wrong(f"{path}.prefix", wrong_prefix(prefix, kind))
    return claim, prefix


def _rule(reader: Reader, value: Any, path: str) -> tuple[str, str]:
    rule = reader.object(value, path, ("claim", "requiredValue"))
    return reader.text(rule, "claim", path), reader.text(rule, "requiredValue", path, empty=True)
