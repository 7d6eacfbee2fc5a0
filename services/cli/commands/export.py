"""``runyard export`` and ``validate``: manifests out of the registry, and manifests checked."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base.messages import as_json
from services.cli.base.terminal import Form, Terminal
from services.cli.manifests.kinds import kind_named
from services.cli.manifests.writing import manifest_text
from services.cli.registry.completion import complete_kinds
from services.cli.registry.options import SetOption
from services.cli.registry.reading import marked, only, snapshot
from services.cli.registry.size import beyond_one_apply
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, FormOption


def export(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help="Only these kinds, provider, model, pool, agent or tool; all without them.",
            autocompletion=complete_kinds,
        ),
    ] = None,
    apply_set: SetOption = "",
    full: Annotated[
        bool, typer.Option("--full", help="Write what the registry filled in by itself, too.")
    ] = False,
    endpoint: EndpointOption = None,
    form: FormOption = Form.YAML,
) -> None:
    """Write the registry as manifests, all of one version; applying them changes nothing.

    By kind and id, so that two exports can be compared. What the registry would fill in anyway is
    left out.

    Examples: runyard export > everything.yaml

    runyard export agents --set team | runyard apply -f - --dry-run
    """

    async def work(terminal: Terminal) -> None:
        wanted = [kind_named(name) for name in kinds or ()]
        async with clients("export", endpoint) as stubs:
            read = marked(stubs, apply_set) if apply_set else snapshot(stubs)
            everything, version = await read
        resources = only(everything, wanted)
        terminal.verbatim(manifest_text(resources, full=full))
        if not resources:
            terminal.note("nothing found")
        if too_many := beyond_one_apply(resources):
            terminal.note(too_many)
        listed = [as_json(one) for one in resources]
        terminal.data({"resources": listed, "version": str(version)})

    run(form.output, work)
