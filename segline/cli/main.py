"""The ``segline`` command: predict, run the stages one by one, and say what this machine can do."""

import argparse
import sys
from collections.abc import Sequence

from segline import __version__
from segline.cli.cache import add_cache_commands
from segline.cli.cleanup import add_cleanup
from segline.cli.explore import add_explore
from segline.cli.interruption import STATUS as INTERRUPTED
from segline.cli.interruption import interruptible
from segline.cli.listen import add_listen
from segline.cli.predict import add_predict
from segline.cli.registry import add_registry_commands
from segline.cli.serve import add_serve
from segline.cli.stages import add_stages
from segline.common.errors import SeglineError, plain_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 after a one-line error, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        with interruptible():
            options.run_command(options)
    except KeyboardInterrupt:
        sys.stderr.write(f"segline {options.command}: interrupted\n")
        return INTERRUPTED
    except Exception as error:
        readable = plain_error(error)
        if not isinstance(readable, SeglineError):
            raise
        sys.stderr.write(f"segline {options.command}: {readable}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segline", description=__doc__)
    parser.add_argument("--version", action="version", version=f"segline {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="what this machine can do, with the reason for each no")
    check.set_defaults(run_command=_check)
    predict, serve = add_predict(commands), add_serve(commands)
    add_explore(commands)
    add_registry_commands(commands, predict, serve, add_listen(commands))
    add_cache_commands(commands)
    add_cleanup(commands)
    add_stages(commands)
    return parser


def _check(_: argparse.Namespace) -> None:
    from segline.machine.abilities import abilities

    for ability in abilities():
        sys.stdout.write(f"{'yes' if ability.available else 'no ':3}  {ability.name:18}  {ability.detail}\n")
