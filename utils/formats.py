"""Files of training data in the formats that platforms and libraries read: convert them, and check them against published rules.

    python -m utils.formats chats.jsonl --check openai          what would be refused, line by line, and the remedy
    python -m utils.formats chats.jsonl --to alpaca             writes chats.alpaca.jsonl, or says what alpaca cannot hold
    python -m utils.formats replies.jsonl --to messages --drop id,month

A file is read a line at a time, so that its length does not matter. `utils.conversion` converts one row,
`utils.format_rules` holds the rules and where they were read.
"""

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from utils.conversion import WRITE, convert
from utils.data import check_is_file
from utils.format_rules import PLATFORMS, bad_file, brief, formats_of, rules_of

SHOWN = 20  # faults that the command line prints; it counts all


@dataclass(frozen=True)
class Fault:
    """One thing wrong: its line (0 for the whole file), what it is, and what to do."""

    line: int
    what: str
    remedy: str

    def __str__(self):
        return f"{f'line {self.line}' if self.line else 'the file'}: {self.what}; {self.remedy}"


# ---- files -------------------------------------------------------------------------------------


def lines(source):
    """Yield (line number, row) of a JSONL file, or of a list of rows; a line that is no row comes as a Fault in its place."""
    if not isinstance(source, str | Path):
        yield from enumerate(source, 1)
        return
    check_is_file(Path(source))
    with open(source, "rb") as file:
        for number, raw in zip(count(1), file, strict=False):
            if raw.strip():
                yield number, read_line(number, raw)


def read_line(number, raw):
    """One line (bytes) as a row, or as a Fault."""
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        row = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(row, ensure_ascii=False).encode()  # half a character is JSON, but no text
    except UnicodeDecodeError as error:
        return Fault(number, f"not UTF-8 (byte {raw[error.start]:#04x})", "save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        if number == 1 and raw.strip() == b"[":
            return Fault(number, "the file is one JSON list", "write one object a line: jq -c '.[]'")
        return Fault(
            number, f"not valid JSON ({str(error).split(': line ')[0]})", "write one complete object on each line, with json.dumps"
        )
    if not isinstance(row, dict):
        return Fault(number, f"{brief(row)} is not an object", 'write {"messages": [ … ]} or another format\'s keys')
    return row


def check(source, platform):
    """Yield every Fault of a JSONL file, or a list of rows, against a platform's published rules (utils.format_rules)."""
    rules, number, seen = rules_of(platform), 0, Counter()
    for line, row in lines(source):
        number += 1
        if isinstance(row, Fault):
            yield row
            continue
        seen.update([" and ".join(formats_of(row))] if formats_of(row) else [])
        for what, remedy in rules.check(row):
            yield Fault(line, what, remedy)
    for what, remedy in bad_file(platform, number, seen):
        yield Fault(0, what, remedy)


def convert_file(source, to, out, drop=()):
    """Write a JSONL file in the format `to`; returns the number of rows. Stops at the first row that cannot be converted.

    The new file is whole or not there. Raises ValueError, naming file, line and remedy.
    """
    out = Path(out)
    if out.resolve() == Path(source).resolve():
        raise ValueError(f"{source}: the result would replace what it is made from; choose another name with --out")
    part, rows = out.with_name(out.name + ".part"), 0
    try:
        with open(part, "w", encoding="utf-8") as file:
            for line, row in lines(source):
                if isinstance(row, Fault):
                    raise ValueError(f"{source}, {row}")
                try:
                    file.write(json.dumps(convert(row, to, drop), ensure_ascii=False) + "\n")
                except ValueError as error:
                    raise ValueError(f"{source}, line {line}: {error}") from error
                rows += 1
        if not rows:
            raise ValueError(f"{source}: there are no rows")
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return rows


# ---- from the shell ----------------------------------------------------------------------------


def main(arguments):
    """The command line; returns 0, or 1 where faults were found, or 2 where it could not work."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.formats", description="Convert training data, or check them against published rules."
    )
    parser.add_argument("source", help="a JSONL file, in any of the formats")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--to", choices=list(WRITE), help="write the file in this format")
    task.add_argument("--check", choices=list(PLATFORMS), help="check the file against this platform's rules")
    parser.add_argument("--out", help="where to write (FILE.FORMAT.jsonl)")
    parser.add_argument("--drop", default="", metavar="A,B", help="keys to leave out")
    options = parser.parse_args(arguments)
    source = Path(options.source)
    try:
        if options.to:
            out = Path(options.out or source.with_suffix(f".{options.to}.jsonl"))
            drop = [key for key in options.drop.split(",") if key]
            print(f"{out}: {convert_file(source, options.to, out, drop):,} rows in the format {options.to}")
            return 0
        found, number = [], 0
        for number, fault in enumerate(check(source, options.check), 1):
            found += [fault] if number <= SHOWN else []
        for fault in found:
            print(f"{source}, {fault}")
        if number > SHOWN:
            print(f"… and {number - SHOWN:,} more")
        rules = ", ".join(rules_of(options.check).links)
        print(
            f"{source}: {number:,} faults by the rules of {options.check} ({rules})"
            if number
            else f"{source}: nothing that {options.check} refuses"
        )
        return 1 if number else 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
