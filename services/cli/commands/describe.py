"""``runyard describe``: resources in full, and who refers to them."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json, moment
from services.cli.base.terminal import Form, Terminal
from services.cli.manifests.kinds import id_of, kind_and_ids, kind_of
from services.cli.manifests.writing import manifest_text
from services.cli.registry.options import IdArguments, KindArgument
from services.cli.registry.reading import by_ids, referrers
from services.cli.registry.summaries import summary
from services.cli.runs.deletion import ids_of
from services.cli.runs.described import describe_runs, describe_threads
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, FormOption


def describe(
    kind: KindArgument,
    ids: IdArguments = None,
    endpoint: EndpointOption = None,
    form: FormOption = Form.TEXT,
) -> None:
    """Show resources in full, with what the registry filled in, and who refers to them; or where a
    run or a thread stands.

    Examples: runyard describe pool narration

    runyard describe run 4f0c…

    runyard describe agent scout -o yaml
    """

    async def work(terminal: Terminal) -> None:
        runs = ids_of(kind, ids or (), "run", "runs")
        threads = ids_of(kind, ids or (), "thread", "threads")
        if runs or threads:
            async with clients("describe", endpoint) as stubs:
                await describe_runs(stubs, runs, terminal)
                await describe_threads(stubs, threads, terminal)
            return
        of, wanted = kind_and_ids(kind, ids or ())
        if not wanted:
            raise CliError(
                "name at least one id: runyard describe KIND ID",
                reason="USAGE",
                exit_code=EXIT_USAGE,
            )
        async with clients("describe", endpoint) as stubs:
            answer = await by_ids(stubs, of, wanted)
            asked = answer.resources if form is not Form.YAML else ()
            used_by = [await referrers(stubs, of, id_of(each)) for each in asked]
        if form is Form.YAML:
            terminal.verbatim(manifest_text(answer.resources, full=True))
            return
        for resource, users in zip(answer.resources, used_by, strict=True):
            _describe(resource, users, terminal)

    run(form.output, work)


def _describe(resource: pb.Resource, used_by: list[str], terminal: Terminal) -> None:
    meta = resource.meta
    terminal.data({"resource": as_json(resource), "used_by": used_by})
    facts = {
        "what": summary(resource),
        "set": meta.apply_set,
        "version": str(meta.since_version),
        "updated": f"{moment(meta.update_time)} by {meta.updated_by or 'nobody known'}",
        "hash": meta.content_hash,
    }
    kind = kind_of(resource)
    terminal.line((f"{kind.member if kind else '?'}/{id_of(resource)}", "bold"))
    for name, value in facts.items():
        if value:
            terminal.line(value, lead=[(f"  {name:<9}", "dim")], rest=[" " * 11])
    for number, user in enumerate(used_by):
        terminal.line(("  used by  " if not number else " " * 11, "dim"), user)
    terminal.line()
    for line in manifest_text([resource], full=True).splitlines():
        terminal.copyable("  ", line)
