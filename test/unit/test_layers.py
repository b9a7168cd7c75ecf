#!/usr/bin/env python3
"""The rules of the house that a compiler does not check: who includes whom, and that each row of the tables is used."""
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "flow"))
from tap import case, run  # noqa: E402

# Folder → what its files may include of the project, as a folder with its slash or one file.
MAY_INCLUDE = {
    "base": ["base/", "tables/"],
    "core": ["base/", "core/", "tables/"],
    "records": ["base/", "records/", "tables/"],
    "keeper": ["base/", "keeper/", "tables/"],
    "server": ["base/", "core/", "records/", "keeper/wire.h", "server/", "tables/"],
    "lib": ["base/", "core/", "records/", "lib/", "tables/", "curfew.h"],
    "cli": ["base/", "cli/", "tables/"],
}
# What core may see of the system: nothing that reads, writes, waits or asks for the time.
CORE_SYSTEM = {"assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdarg.h", "stdbool.h",
               "stddef.h", "stdint.h", "stdlib.h", "string.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        return source.read()


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def sources(folder, *endings):
    found = [os.path.relpath(path, ROOT) for ending in endings
             for path in glob.glob(os.path.join(ROOT, folder, "**", "*" + ending), recursive=True)]
    assert found, f"no {endings} under {folder}"
    return sorted(found)


def includes(path):
    """The project's headers and the system's headers that a file names."""
    pairs = INCLUDE.findall(without_comments(read(path)))
    return [own for own, _ in pairs if own], [system for _, system in pairs if system]


def rows(table, macro):
    names = re.findall(rf"^{macro}\((\w+),", read(f"tables/{table}.def"), re.M)
    assert names, f"no {macro} row in tables/{table}.def"
    assert len(names) == len(set(names)), f"a {macro} row is there twice"
    return names


def code(*folders):
    return "\n".join(without_comments(read(path)) for folder in folders for path in sources(folder, ".c", ".h"))


def nothing(complaints):
    assert not complaints, "\n".join(complaints)


@case("each folder includes only what lies below it")
def folders_include_what_they_may():
    complaints = []
    for path in sources("src", ".c", ".h"):
        folder = path.split(os.sep)[1]
        allowed = MAY_INCLUDE.get(folder)
        if allowed is None:
            complaints.append(f"{path}: no rule says what src/{folder} may include")
            continue
        for name in includes(path)[0]:
            if not any(name == rule or (rule.endswith("/") and name.startswith(rule)) for rule in allowed):
                complaints.append(f"{path} includes {name}; src/{folder} may include {' '.join(allowed)}")
    nothing(complaints)


@case("core sees no system header that does input or output")
def core_does_no_io():
    nothing([f"{path} includes <{name}>" for path in sources("src/core", ".c", ".h")
             for name in includes(path)[1] if name not in CORE_SYSTEM])


@case("the keeper links nothing but libc and our own libraries")
def keeper_has_no_dependencies():
    # The definition of the executable, wherever it stands.
    text = read("meson.build") + "".join(read(path) for path in sources("src", "meson.build"))
    found = re.search(r"executable\('curfew-keeper'.*?\n?.*?\)\n", text, re.S)
    assert found, "no executable curfew-keeper"
    assert "dependencies" not in found.group(0), found.group(0)
    assert not re.search(r"\b(server_lib|core_lib|cli_lib)\b", found.group(0)), found.group(0)


@case("each header compiles alone")
def headers_compile_alone():
    compiler = os.environ.get("CC") or shutil.which("gcc") or "cc"
    flags = subprocess.run(["pkg-config", "--cflags", "jansson", "libevent_core", "libmicrohttpd", "libcurl"],
                           capture_output=True, text=True, check=True).stdout.split()
    complaints = []
    for path in sources("src", ".h"):
        # Twice, so that a missing include guard shows as well.
        done = subprocess.run(
            [compiler, "-fsyntax-only", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-I.", "-Isrc", "-Iinclude", *flags,
             "-x", "c", "-"], input=f'#include "{path}"\n#include "{path}"\n', cwd=ROOT, capture_output=True, text=True,
            check=False)
        if done.returncode:
            complaints.append(f"{path}:\n{done.stderr}")
    nothing(complaints)


def settings_read_in(path):
    """The members that a file reads of what it declares to be a struct cf_settings, or reaches as ->settings."""
    text = without_comments(read(path))
    names = set(re.findall(r"struct cf_settings\s*\*?\s*(\w+)", text)) | {"settings"}
    return set(re.findall(rf"\b(?:{'|'.join(sorted(names))})\s*(?:->|\.)\s*(\w+)", text))


@case("each setting is read by something")
def settings_are_read():
    # src/base only parses them; what a setting does happens elsewhere.  But for the two folders from which the settling
    # of the settings makes the others.
    used = {"state_dir", "runtime_dir"} & settings_read_in("src/base/settings_settle.c")
    for path in sources("src", ".c", ".h"):
        if not path.startswith("src/base/"):
            used |= settings_read_in(path)
    nothing([f"nothing reads the setting {name}" for name in rows("settings", "SETTING") if name not in used])


@case("each operation has exactly one handler")
def operations_have_handlers():
    text = code("src/server")
    complaints = []
    for name in rows("operations", "OPERATION"):
        count = len(re.findall(rf"^void\s+cf_calls_{name}\s*\([^;{{]*\)\s*\{{", text, re.M))
        if count != 1:
            complaints.append(f"cf_calls_{name} is defined {count} times under src/server")
    nothing(complaints)


@case("each counter is counted somewhere")
def counters_are_counted():
    text = code("src")
    nothing([f"nothing sets the counter {name}" for name in rows("counters", "COUNTER")
             if not re.search(rf"(?:\+\+|--)[\w.>()*-]*\b{name}\b|(?:->|\.){name}\s*(?:\+\+|--|[-+]?=(?!=))", text)])


@case("each histogram is measured somewhere")
def histograms_are_measured():
    text = code("src")
    nothing([f"nothing observes the histogram {name}" for name in rows("histograms", "HISTOGRAM")
             if not re.search(rf"cf_metrics_observe\([^;]*\bCF_HISTOGRAM_{name}\b", text)])


@case("each error is given somewhere")
def errors_are_given():
    text = code("src")
    nothing([f"nothing answers with CF_E_{name}" for name in rows("errors", "ERROR") if not re.search(rf"\bCF_E_{name}\b", text)])


@case("no document names a path of the machine that it was written on")
def documents_name_no_machine():
    paths = glob.glob("*.md", root_dir=ROOT)
    paths += [path for folder in ("docs", "man") for path in glob.glob(folder + "/**/*.*", root_dir=ROOT, recursive=True)]
    machine = re.compile(rf"{re.escape(ROOT)}\b\S*|/(?:home|Users)/\w+\S*|/root/\S+")
    nothing([f"{path} names {found}" for path in sorted(paths) for found in machine.findall(read(path))])


if __name__ == "__main__":
    run()
