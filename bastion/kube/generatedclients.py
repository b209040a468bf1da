"""· Paths of generated clients, which encode slashes that were meant as slashes.

The OpenAPI description of `…/proxy/{path}` says that `path` is one segment, so clients generated from it
encode its slashes: `connect_get_namespaced_service_proxy_with_path(…, "api/v1/query")` asks for
`…/proxy/api%2Fv1%2Fquery`. kube-apiserver decodes every path and so accepts it.  Here paths stay byte for
byte (docs/decisions/0006-byte-exact-paths.md); only where the User-Agent is that of such a client and the
rest of the path is a single segment, `%2F` becomes a slash.
"""

from __future__ import annotations

from msgspec import structs

from bastion.kube.requestinfo import Proxied

# How the official clients begin their User-Agent: most generators' default, the one of before 2018, and
# Java's own. JavaScript's and C#'s, which encode as well, cannot be told from those of other
# programs.
GENERATED = (b"OpenAPI-Generator/", b"Swagger-Codegen/", b"Kubernetes Java Client/")


def with_slashes(info: Proxied, user_agents: list[bytes]) -> Proxied:
    """`info` with the slashes of its rest decoded, or unchanged.

    `user_agents`: the values of all such fields.

    Nothing else is decoded: what the client was given as `a%2Fb` it sends as `a%252Fb`, and that stays.
    Never for a node, whose kubelet refuses encoded paths, nor under an application's own host name, which no
    such client speaks to.
    """
    path, mark, query = info.rest.partition(b"?")
    one_segment = path[:1] == b"/" and b"/" not in path[1:]
    if not one_segment or not info.prefix or info.attributes.resource == "nodes":
        return info
    if len(user_agents) != 1 or not user_agents[0].startswith(GENERATED):
        return info
    decoded = path.replace(b"%2F", b"/").replace(b"%2f", b"/")
    return info if decoded == path else structs.replace(info, rest=decoded + mark + query)
