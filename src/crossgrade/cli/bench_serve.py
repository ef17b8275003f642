"""`crossgrade bench serve`: load on a served model, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crossgrade.cli.limits import limits
from crossgrade.cli.progress import Narrator
from crossgrade.cli.screen import screen


@click.command("serve", short_help="put load on a served model and measure it")
@click.option("--url", default="", metavar="URL",
              help="Address of an endpoint with OpenAI's protocol, such as "
                   "http://127.0.0.1:8000/v1.")  # fmt: skip
@click.option("--local", default="", metavar="MODEL",
              help="Start a small server of this model instead: preset, folder or "
                   "config.json.")  # fmt: skip
@click.option("--model", default="", metavar="NAME",
              help="Model as the endpoint knows it.  [default: the only one]")  # fmt: skip
@click.option("--api", type=click.Choice(["completions", "chat"]), default="completions",
              show_default=True, help="Interface that is spoken, streamed.")  # fmt: skip
@click.option("--rate", "rates", type=float, multiple=True, metavar="PER_S",
              help="Open loop: requests arrive as a Poisson process of this rate; "
                   "repeatable.")  # fmt: skip
@click.option("--concurrency", "users", type=int, multiple=True, metavar="N",
              help="Closed loop: N users, each with one request at a time; repeatable.  "
                   "[default: 1 and 8, where no load is named]")  # fmt: skip
@click.option("--trace", "traces", multiple=True, metavar="NAME|FILE",
              help="Replay: azure-code, azure-conv, mooncake-conversation, mooncake-synthetic, "
                   "or a file of these forms; repeatable.")  # fmt: skip
@click.option("--pace", type=float, default=1.0, show_default=True, metavar="X",
              help="Replay a trace X times as fast as it was recorded.")  # fmt: skip
@click.option("--max-concurrency", "most_in_flight", type=int, metavar="N",
              help="Most requests at once of --rate and --trace.  [default: no limit]")  # fmt: skip
@click.option("--requests", type=int, metavar="N",
              help="Requests per load and session.  [default: 100, of --concurrency 4 per user "
                   "at least, of a --rate what the budget has time for]")  # fmt: skip
@click.option("--input-tokens", type=int, default=128, show_default=True, metavar="N",
              help="Tokens of a prompt.")  # fmt: skip
@click.option("--output-tokens", type=int, default=64, show_default=True, metavar="N",
              help="Tokens of an answer.")  # fmt: skip
@click.option("--warmups", type=int, metavar="N",
              help="Requests before, not counted.  [default: 8; of --concurrency as many as "
                   "users, 8 at least]")  # fmt: skip
@click.option("--good", "limits", multiple=True, metavar="NAME=SECONDS", callback=limits,
              help="What counts as good: ttft=, tpot=, e2e=; repeatable.")  # fmt: skip
@click.option("--budget", "budget_s", type=float, default=300.0, show_default=True,
              metavar="SECONDS", help="Time for all of it.")  # fmt: skip
@click.option("--half-width", type=float, default=0.05, show_default=True, metavar="SHARE",
              help="Wanted half width of the 95 % interval of median latencies.")  # fmt: skip
@click.option("--sessions", "least_sessions", type=int, default=5, show_default=True,
              help="Least sessions: 5, 8, 12, 18, 27 or 40.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True,
              metavar="SECONDS", help="Longest time without text of an answer.")  # fmt: skip
@click.option("--key-env", default="", metavar="VARIABLE",
              help="Environment variable that holds the endpoint's key.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True,
              help="Of arrivals, prompts, orders, and of a local server's weights.")  # fmt: skip
@click.option("--dtype", metavar="NAME",
              help="Format of a local server's weights.  [default: the checkpoint's]")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="DIR", help="Checkpoint of a local server; without it weights are "
                                  "random.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE",
              help="Device of a local server: cpu, cuda:0, npu:0 ...")  # fmt: skip
@click.option("--threads", type=int, metavar="N",
              help="Threads of torch in a local server.  [default: all cores]")  # fmt: skip
@click.option("--slots", type=int, default=8, show_default=True, metavar="N",
              help="Requests that a local server works on at once.")  # fmt: skip
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Record and journal; an interrupted run there is taken up.")  # fmt: skip
@click.option("--no-record", is_flag=True, help="Write nothing; an interrupted run is lost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(no_record: bool, as_json: bool, **given: Any) -> int:
    """Put loads on a served model, and measure TTFT, TPOT and end-to-end latency.

    Loads take turns in random order, session after session. Before each one the client measures
    itself on a server that answers at once.

    \b
    crossgrade bench serve --url http://127.0.0.1:8000/v1 --rate 2 --rate 4
    crossgrade bench serve --url http://127.0.0.1:8000/v1 --trace azure-conv --good ttft=0.5
    crossgrade bench serve --local qwen3-0.6b --concurrency 1 --concurrency 4 --output-tokens 16

    Exit codes: 0 every interval is as narrow as asked; 3 some are not, requests failed or piled
    up, the client was the limit, or nothing answers; 2 wrong usage or installation.
    """
    from crossgrade import api

    options = api.ServeOptions(**given)
    with Narrator() as narrate:
        run = api.bench_serve(options, record=not no_record, narrate=narrate)
    click.echo(api.render_serving(run, as_json=as_json, **screen()), nl=False)
    return run.exit_code
