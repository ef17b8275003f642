"""Runs in a process of its own: imports one package and writes what became of it.

    python -P child.py REQUEST ANSWER

REQUEST is a JSON file with `name`, `distribution` and `facts`; ANSWER is written after every step,
so what is known survives a crash of the next one. Must not import anything of crossgrade: the
package under test may be what breaks it.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import time


def tell(path: str, answer: dict[str, object]) -> None:
    """Write the answer so far; the file is whole at any time."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(path + ".part", path)


def version_of(distribution: str, module: object) -> str:
    """Return the version of the distribution, else what the module says of itself."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", ""))


def fact(module: object, path: str) -> str:
    """Return what stands at a dotted path below a module; `()` after a name calls it."""
    value = module
    for step in re.findall(r"(\w+)(\(\))?", path):
        value = getattr(value, step[0])
        value = value() if step[1] else value
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "no" if value is None else str(value)


def main(request: str, answer: str) -> None:
    """Look for the package, import it, ask it."""
    with open(request, encoding="utf-8") as file:
        wanted = json.load(file)
    name = wanted["name"]
    if importlib.util.find_spec(name) is None:
        tell(answer, {"step": "absent"})
        return
    found: dict[str, object] = {
        "step": "found",
        "version": version_of(wanted["distribution"], None),
    }
    tell(answer, found)
    start = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # SystemExit of a package too
        text = " ".join(str(error).split())
        tell(answer, found | {"step": "raised", "error": f"{type(error).__name__}: {text}"[:500]})
        return
    found |= {"step": "imported", "import_s": time.perf_counter() - start}
    found["version"] = version_of(wanted["distribution"], module)
    facts: dict[str, str] = {}
    tell(answer, found | {"facts": facts})
    for title, path in wanted["facts"].items():
        try:
            facts[title] = fact(module, path)
        except Exception as error:
            facts[title] = f"unknown ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        tell(answer, found | {"facts": facts})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
