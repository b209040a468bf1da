"""Questions that change nothing: what would be written, and what happens to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from bastion.node.addresses import FAMILIES
from bastion.node.deriving import own_addresses, rules_of
from bastion.node.model import Model
from bastion.node.watching import Watching
from bastion.node.why import explained, parse_target
from bastion.runtime.errors import StartError
from bastion.wiring.nodemodes import ruleset
from bastion.wiring.nodestart import Start, open_api

PATIENCE = 30.0


@contextlib.asynccontextmanager
async def known(start: Start) -> AsyncIterator[Model]:
    """What the API says now, listed once; for the questions that change nothing."""
    settings = start.settings
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await open_api(start, stack))
        model = Model(settings.node, lambda: None)
        watching = [
            Watching("services", api, model.put_service),
            Watching("endpointslices", api, model.put_slice),
            Watching("nodes", api, lambda _, node: model.put_node(node), only=settings.node),
            Watching(
                "servicecidrs", api, lambda key, one: model.put_service_cidr(key[1], one), optional=True
            ),
        ]
        tasks = [asyncio.create_task(one.run()) for one in watching]
        try:
            async with asyncio.timeout(PATIENCE):
                for one in watching:
                    await one.listed.wait()
        except TimeoutError:
            raise StartError("the API server did not list Services, slices and the Node in time") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        model.stand(own_addresses(settings, model.node))
        yield model


async def dry_run(start: Start) -> int:
    async with known(start) as model:
        for family in FAMILIES:
            model.take(family)
            rules = rules_of(start.settings, model, family)
            fronts = dict(sorted(model.families[family].claims.fronts.items()))
            sys.stdout.write(ruleset(start.settings, rules, fronts))
    return 0


async def why(start: Start, target: str, source: str) -> int:
    asked = parse_target(target)
    async with known(start) as model:
        model.take(asked.family)
        rules = rules_of(start.settings, model, asked.family)
        lines = explained(asked, source, start.settings.mode, model, rules)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
