"""Jobs on one file, and jobs that only ask."""

from __future__ import annotations

from collections import Counter
from random import Random

from llmgym.envs.files import trees
from llmgym.envs.files.job import Job, total, under
from llmgym.envs.files.trees import Tree, lines, number, pick, some

# --- one file ------------------------------------------------------------------------------------


def copy(rng: Random, tree: Tree) -> Job | None:
    """Copy a file."""
    source = pick(rng, under(tree, "notes/", ".txt"))
    target = f"{pick(rng, ('copies', 'backup', 'shared'))}/{pick(rng, trees.THINGS)}.txt"
    text = pick(rng, ("Copy the file {} to {}.", "Make a copy of {} and call it {}."))
    command = f"mkdir -p {target.rpartition('/')[0]} && cp {source} {target} && wc -c < {target}"
    goal = {**tree, target: tree[source]}
    return Job(text.format(source, target), goal, str(len(tree[source])), "the size of the file in bytes", command)


def rename(rng: Random, tree: Tree) -> Job | None:
    """Rename a file."""
    source = pick(rng, under(tree, "notes/", ".txt"))
    target = f"notes/{pick(rng, trees.PLACES).lower()}.md"
    text = pick(rng, ("Rename the file {} to {}.", "Move {} to {}."))
    goal = {**{path: said for path, said in tree.items() if path != source}, target: tree[source]}
    command = f"mv {source} {target} && wc -c < {target}"
    return Job(text.format(source, target), goal, str(len(tree[source])), "the size of the file in bytes", command)


def append(rng: Random, tree: Tree) -> Job | None:
    """Add a line to a file."""
    path = pick(rng, under(tree, "notes/", ".txt"))
    line = f"{pick(rng, trees.PLACES)}: {number(rng, 2, 90)} x {pick(rng, trees.THINGS)}"
    text = pick(rng, ('Add the line "{}" at the end of the file {}.', 'Append this line: "{}" to the file {}.'))
    goal = {**tree, path: f"{tree[path]}{line}\n"}
    command = f"echo '{line}' >> {path} && wc -l < {path}"
    return Job(text.format(line, path), goal, total(goal, [path]), "the number of lines it has then", command)


def count(rng: Random, tree: Tree) -> Job | None:
    """Count lines of a file."""
    path, levels = pick(rng, under(tree, "logs/", ".log")), some(rng, trees.LEVELS, 2)
    found = sum(line.split()[1] in levels for line in lines(tree[path]))
    text = pick(
        rng,
        ("Find out how many lines of {2} have the level {0} or {1}.", "Count the lines of level {0} or {1} in {2}."),
    )
    command = f"grep -c -E ' ({'|'.join(levels)}) ' {path}"
    return Job(text.format(*levels, path), dict(tree), str(found), "that number of lines", command)


# --- questions about many ------------------------------------------------------------------------


def count_level(rng: Random, tree: Tree) -> Job | None:
    """Count lines over all logs of a service."""
    service, levels = pick(rng, services(tree)), some(rng, trees.LEVELS, 2)
    paths = under(tree, f"logs/{service}-", ".log")
    found = sum(any(f" {level} " in line for level in levels) for path in paths for line in lines(tree[path]))
    text = pick(
        rng,
        (
            "Go through all logs of the service {} and count the lines whose level is {} or {}.",
            "How many lines in the logs of {} have the level {} or {}? Count over all of its logs.",
        ),
    )
    command = f"cat logs/{service}-*.log | grep -c -E ' ({'|'.join(levels)}) '"
    return Job(text.format(service, *levels), dict(tree), str(found), "that number of lines", command)


def services(tree: Tree) -> list[str]:
    """The services that have logs."""
    return sorted({path.removeprefix("logs/").split("-")[0] for path in under(tree, "logs/", ".log")})


def sum_column(rng: Random, tree: Tree) -> Job | None:
    """Add up what some rows of all tables come to."""
    status = pick(rng, trees.STATUSES)
    rows = [row for path in under(tree, "data/", ".csv") for row in rows_of(tree[path])]
    found = sum(int(row[3]) * int(row[4]) for row in rows if row[5] == status)
    text = pick(
        rng,
        (
            "What do the orders with the status {} come to, over all tables in the folder data? An order comes to "
            "quantity times price.",
            "Over all CSV files in the folder data, add up quantity times price of the orders whose status is {}.",
        ),
    )
    command = f"cat data/*.csv | awk -F, '$6 == \"{status}\" {{ sum += $4 * $5 }} END {{ print sum + 0 }}'"
    return Job(text.format(status), dict(tree), str(found), "that sum", command) if found else None


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table without its header."""
    return [line.split(",") for line in lines(text)[1:]]


def top_client(rng: Random, tree: Tree) -> Job | None:
    """The client with most lines in the logs of a service."""
    service = pick(rng, services(tree))
    clients = Counter(
        part.removeprefix("client=")
        for path in under(tree, f"logs/{service}-", ".log")
        for line in lines(tree[path])
        for part in line.split()
        if part.startswith("client=")
    )
    (first, most), *others = clients.most_common()
    if others and others[0][1] == most:
        return None
    text = pick(
        rng, ("Which client comes most often in the logs of {}?", "Find the client with most lines in the logs of {}.")
    )
    command = (
        f'cat logs/{service}-*.log | awk \'{{ sub("client=", "", $3); print $3 }}\' | sort | uniq -c | sort -n | '
        "tail -n 1 | awk '{ print $2 }'"
    )
    return Job(text.format(service), dict(tree), first, "its address", command)
