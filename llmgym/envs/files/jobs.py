"""Jobs that change a folder, and all jobs by name."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from random import Random

from llmgym.envs.files import trees
from llmgym.envs.files.job import Archive, Job, Maker, total, under
from llmgym.envs.files.simple import (
    append,
    copy,
    count,
    count_level,
    rename,
    rows_of,
    services,
    sum_column,
    top_client,
)
from llmgym.envs.files.trees import Tree, lines, number, pick


def replace_setting(rng: Random, tree: Tree) -> Job | None:
    """Change a setting wherever it has some value."""
    paths = under(tree, "config/", ".conf")
    named = Counter(line for path in paths for line in lines(tree[path]) if " = " in line)
    setting, old = pick(rng, sorted(named)).split(" = ")
    new = {"host": "db9.internal", "log_level": "error", "region": "west"}.get(setting, str(number(rng, 100, 999)))
    goal: dict[str, str | Archive] = dict(tree)
    for path in paths:
        goal[path] = re.sub(rf"(?m)^{setting} = {re.escape(old)}$", f"{setting} = {new}", tree[path])
    text = pick(
        rng,
        (
            "In all files of the folder config, change the setting {0} from {1} to {2}, where it is {1}.",
            "Set {0} to {2} in each file of the folder config that has it as {1}; other values stay.",
        ),
    )
    command = (
        f"grep -l '^{setting} = {old}$' config/*.conf > /tmp/n; "
        f"sed -i 's/^{setting} = {old}$/{setting} = {new}/' config/*.conf; xargs cat < /tmp/n | wc -l"
    )
    changed = [path for path in paths if goal[path] != tree[path]]
    asked = "how many lines the files that you have changed have together"
    return Job(text.format(setting, old, new), goal, total(tree, changed), asked, command)


def rename_ending(rng: Random, tree: Tree) -> Job | None:
    """Give another ending to all files that have one."""
    old, new = pick(rng, (("txt", "md"), ("txt", "text"), ("conf", "ini"), ("csv", "data")))
    paths = under(tree, "", f".{old}")
    goal: dict[str, str | Archive] = {
        re.sub(rf"\.{old}$", f".{new}", path) if path in paths else path: said for path, said in tree.items()
    }
    if under(tree, "", f".{new}"):  # the files of both endings could not be told apart
        return None
    text = pick(
        rng,
        (
            "Rename all files that end in .{0}, in all folders, so that they end in .{1}.",
            "Change the ending of every .{0} file to .{1}, wherever it is.",
        ),
    )
    command = (
        f'find . -type f -name \'*.{old}\' | while read -r f; do mv "$f" "${{f%.{old}}}.{new}"; done; '
        f"find . -type f -name '*.{new}' -exec cat {{}} + | wc -l"
    )
    return Job(text.format(old, new), goal, total(tree, paths), "how many lines these files have together", command)


def put_away(rng: Random, tree: Tree) -> Job | None:
    """Move logs of before a day into folders by month."""
    logs = under(tree, "logs/", ".log")
    days = sorted({path[-14:-4] for path in logs})
    limit = pick(rng, days[1:]) if len(days) > 1 else ""
    moved = [path for path in logs if path[-14:-4] < limit]
    if not moved:
        return None
    goal: dict[str, str | Archive] = {
        f"archive/{path[-14:-7]}/{path[5:]}" if path in moved else path: said for path, said in tree.items()
    }
    text = pick(
        rng,
        (
            "Move the logs from before {0} (their names have the day) from the folder logs to the folder archive, "
            "each into a folder named by its month, such as archive/{1}.",
            "The logs of days before {0}, which their names have, are to be kept in the folder archive, in one "
            "folder for each month, such as archive/{1}. Move them there from the folder logs.",
        ),
    )
    command = (
        "for f in logs/*.log; do d=${f%.log}; d=${d#logs/*-}; "
        f'if [ "$(printf "%s\\n%s\\n" "$d" {limit} | sort | head -n 1)" = "$d" ] && [ "$d" != {limit} ]; then '
        'mkdir -p archive/${d%-*} && mv "$f" archive/${d%-*}/; fi; done; find archive -type f -exec cat {} + | wc -l'
    )
    asked = "how many lines the files have together that you have moved"
    return Job(text.format(limit, limit[:7]), goal, total(tree, moved), asked, command)


def clean(rng: Random, tree: Tree) -> Job | None:
    """Delete files of an ending, and empty ones."""
    ending = pick(rng, ("tmp", "bak"))
    gone = [path for path, said in tree.items() if path.endswith(f".{ending}") or not said]
    if not gone or all(not tree[path] for path in gone):
        return None
    goal: dict[str, str | Archive] = {path: said for path, said in tree.items() if path not in gone}
    text = pick(
        rng,
        (
            "Delete all files that end in .{0}, in all folders, and all that are empty.",
            "Clean up: no file that ends in .{0} is to be left anywhere, and none that is empty.",
        ),
    )
    command = (
        f"find . -type f -name '*.{ending}' -exec rm {{}} +; find . -type f -empty -exec rm {{}} +; "
        "find . -type f | wc -l"
    )
    return Job(text.format(ending), goal, str(len(goal)), "how many files are left in all folders", command)


def report(rng: Random, tree: Tree) -> Job | None:
    """Write how often each level comes."""
    service, target = pick(rng, services(tree)), f"{pick(rng, ('report', 'levels', 'summary'))}.txt"
    paths = under(tree, f"logs/{service}-", ".log")
    levels = Counter(line.split()[1] for path in paths for line in lines(tree[path]))
    goal = {**tree, target: "".join(f"{level} {levels[level]}\n" for level in sorted(levels))}
    text = pick(
        rng,
        (
            "Write the file {1}: a line for each level in the logs of {0}, such as `ERROR 12`, with the number of "
            "its lines in all of them, the levels in alphabetical order.",
            "Count the lines of each level in all logs of {0}, and write the counts to {1}, one a line, such as "
            "`ERROR 12`, sorted by the level.",
        ),
    )
    command = (
        f"cat logs/{service}-*.log | awk '{{ print $2 }}' | sort | uniq -c | awk '{{ print $2, $1 }}' > {target}; "
        f"cat logs/{service}-*.log | wc -l"
    )
    return Job(
        text.format(service, target), goal, total(tree, paths), "how many lines you have counted in all", command
    )


def extract(rng: Random, tree: Tree) -> Job | None:
    """Write the rows of a table that meet a condition."""
    source, least = pick(rng, under(tree, "data/", ".csv")), number(rng, 60, 200)
    head, *rows = lines(tree[source])
    kept = [row for row in rows if int(row.split(",")[4]) >= least]
    target = f"data/{pick(rng, ('dear', 'checked', 'selected'))}.csv"
    goal = {**tree, target: "".join(f"{row}\n" for row in (head, *kept))}
    text = pick(
        rng,
        (
            "Write the orders in {0} whose price is at least {1} to {2}, with the same header, in the same order.",
            "Make the file {2} out of {0}: its header, and those of its rows whose price is {1} or more, in their "
            "order.",
        ),
    )
    command = (
        f"awk -F, 'NR == 1 || $5 >= {least}' {source} > {target}; "
        f"awk -F, 'NR > 1 {{ sum += $4 }} END {{ print sum + 0 }}' {target}"
    )
    answer = str(sum(int(row.split(",")[3]) for row in kept))
    asked = "the sum of the quantities in the rows that you have written"
    return Job(text.format(source, least, target), goal, answer, asked, command) if kept else None


def rename_function(rng: Random, tree: Tree) -> Job | None:
    """Rename a function in all sources, and no other name."""
    old = pick(rng, trees.FUNCTIONS)
    new = f"{old.split('_')[0]}_{pick(rng, trees.THINGS)}"
    paths = under(tree, "src/", ".py")
    whole = re.compile(rf"\b{old}\b")
    found = sum(len(whole.findall(tree[path])) for path in paths)
    goal: dict[str, str | Archive] = {
        path: whole.sub(new, said) if path in paths else said for path, said in tree.items()
    }
    text = pick(
        rng,
        (
            "Rename the function {0} to {1} in all Python files under src, where it is defined and where it is "
            "called. Longer names that begin alike, such as {0}_all, stay.",
            "In every .py file under src, the name {0} is to become {1}; longer names, such as {0}_all, stay as "
            "they are.",
        ),
    )
    command = (
        f"find src -name '*.py' -exec cat {{}} + | grep -o -w '{old}' | wc -l > /tmp/n; "
        f"find src -name '*.py' -exec sed -i 's/\\b{old}\\b/{new}/g' {{}} +; cat /tmp/n"
    )
    return Job(text.format(old, new), goal, str(found), "how often it stood there", command) if found else None


def merge(rng: Random, tree: Tree) -> Job | None:
    """Write all lines of some level in the order of their times."""
    level, target = pick(rng, trees.LEVELS), f"{pick(rng, ('merged', 'all', 'timeline'))}.log"
    found = sorted(line for path in under(tree, "logs/", ".log") for line in lines(tree[path]) if f" {level} " in line)
    if len({line.split()[0] for line in found}) < len(found) or not found:
        return None
    goal = {**tree, target: "".join(f"{line}\n" for line in found)}
    text = pick(
        rng,
        (
            "Write all lines of the level {0} in the logs of all services to {1}, in the order of their times.",
            "Make one file {1} of the lines with the level {0} in all logs, the earliest first.",
        ),
    )
    command = f"cat logs/*.log | grep ' {level} ' | sort > {target}; wc -l < {target}"
    return Job(text.format(level, target), goal, str(len(found)), "how many lines it has", command)


def archive(rng: Random, tree: Tree) -> Job | None:
    """Pack a folder, and delete it."""
    folder = pick(rng, ("notes", "config", "src"))
    target, paths = f"{folder}-{number(rng, 2030, 2039)}.tar.gz", under(tree, f"{folder}/")
    kept = {path: said for path, said in tree.items() if path not in paths}
    goal: dict[str, str | Archive] = {**kept, target: {path: tree[path] for path in paths}}
    text = pick(
        rng,
        (
            "Pack the folder {0} into {1} (tar and gzip; names in it begin with {0}/), and delete the folder then.",
            "Make the archive {1} of the folder {0}, a gzipped tar whose names begin with {0}/. Then remove {0} "
            "itself.",
        ),
    )
    command = f"find {folder} -type f -exec cat {{}} + | wc -l; tar czf {target} {folder} && rm -r {folder}"
    asked = "how many lines the files in it have together"
    return Job(text.format(folder, target), goal, total(tree, paths), asked, command)


# --- with programs that only a real system has -----------------------------------------------------


def totals(rng: Random, tree: Tree) -> Job | None:
    """Write what each customer's orders come to."""
    source = pick(rng, under(tree, "data/", ".csv"))
    sums: Counter[str] = Counter()
    for row in rows_of(tree[source]):
        sums[row[1]] += int(row[3]) * int(row[4])
    target = f"{pick(rng, ('totals', 'customers', 'sums'))}.csv"
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    goal = {**tree, target: "".join(f"{name},{sum_of}\n" for name, sum_of in ranked)}
    text = pick(
        rng,
        (
            "Write to {1} what the orders of each customer in {0} come to (quantity times price): lines such as "
            "`Rossi,120`, the greatest first, equal ones by name, no header.",
            "For each customer in {0}, add up quantity times price, and write {1}: a line such as `Rossi,120` for "
            "each, without a header, from the greatest sum to the smallest, equal ones by name.",
        ),
    )
    command = (
        f"awk -F, 'NR > 1 {{ sum[$2] += $4 * $5 }} END {{ for (c in sum) print c \",\" sum[c] }}' {source} | "
        f"LC_ALL=C sort -t, -k2,2nr -k1,1 > {target}; head -n 1 {target} | cut -d, -f2"
    )
    return Job(text.format(source, target), goal, str(ranked[0][1]), "the greatest of these sums", command)


def checksum(rng: Random, tree: Tree) -> Job | None:
    """Write the SHA-256 sums of a folder's files."""
    folder, target = (
        pick(rng, ("notes", "config", "data", "src")),
        f"{pick(rng, ('SHA256SUMS', 'sums.txt', 'check.txt'))}",
    )
    paths = sorted(under(tree, f"{folder}/"))
    sums = {path: sha256(tree[path].encode()).hexdigest() for path in paths}
    goal = {**tree, target: "".join(f"{sums[path]}  {path}\n" for path in paths)}
    first = pick(rng, paths)
    text = pick(
        rng,
        (
            "Write the SHA-256 sums of all files under {0} to {1}, as sha256sum prints them, with paths such as "
            "{2}, sorted by path.",
            "Make the file {1} with a line for each file under {0}, sorted by path, as sha256sum prints it for "
            "paths such as {2}.",
        ),
    )
    command = (
        f"find {folder} -type f | LC_ALL=C sort | xargs sha256sum > {target}; grep '  {first}$' {target} | cut -c 1-8"
    )
    asked = f"the first eight characters of the sum of {first}"
    return Job(text.format(folder, target, first), goal, sums[first][:8], asked, command)


JOBS: dict[str, Maker] = {
    made.__name__: made
    for made in (
        copy, rename, append, count, count_level, sum_column, top_client, replace_setting, rename_ending, put_away,
        clean,
        report, extract, rename_function, merge, archive, totals, checksum,
    )
}  # fmt: skip
