#!/usr/bin/env python3
"""The public header, include/curfew.h: that strangers' compilers take it, that it says what it declares, and that the
library's binary interface changes only when somebody means it.

abi_symbols.txt and abi_layout.txt beside this file are the interface that programs out there were compiled against.
`test_header.py --record` writes them anew; a failing test says when that is right.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "flow"))
from tap import build, case, run, skip  # noqa: E402

HEADER = os.path.join(ROOT, "include", "curfew.h")
SYMBOLS = os.path.join(ROOT, "test", "unit", "abi_symbols.txt")
LAYOUT = os.path.join(ROOT, "test", "unit", "abi_layout.txt")
LANGUAGES = {"c": (("gcc", "clang"), ("c99", "c11", "c17", "c2x")),
             "c++": (("g++", "clang++"), ("c++11", "c++17", "c++20"))}
STRICT = ["-fsyntax-only", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wundef", "-Werror"]
# The structs that carry their size, so that members may be added at their ends.
GROWING = {"curfew_options", "curfew_info", "curfew_counts"}
COMPATIBLE = """The interface has grown; programs that were compiled before still run.  If that is meant: raise the
minor version in meson.build and include/curfew.h, add a line to CHANGES.md, and record the interface by
`python3 test/unit/test_header.py --record` (with CURFEW_BUILD set to a build folder that is not build/)."""
INCOMPATIBLE = """Programs that were compiled before would break.  Undo it, or add something new instead (members
only at the end of structs that carry their size).  If it must be: raise soversion in meson.build and the name in
src/lib/curfew.map, add a line to CHANGES.md, and record the interface by `python3 test/unit/test_header.py --record`
(with CURFEW_BUILD set to a build folder that is not build/)."""


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


def written(path):
    """The lines of a recorded list, without its comments."""
    return [line for line in read(path).splitlines() if line and not line.startswith("#")]


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def declarations():
    """The header without comments and preprocessor lines."""
    return re.sub(r"^[ \t]*#.*$", "", without_comments(read(HEADER)), flags=re.M)


def functions():
    found = re.findall(r"^CURFEW_API\b[^;(]*?\b(\w+)\s*\(", declarations(), re.M)
    assert len(found) > 30, found
    assert len(found) == len(set(found)), "a function is declared twice"
    return found


def split_members(body):
    """The members' names of a struct's body, in order: `int64_t a, b;`, `char c[8];`, `int (*f)(void *);`."""
    names = []
    for member in filter(None, (part.strip() for part in body.split(";"))):
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", member)
        if pointer:
            names.append(pointer.group(1))
            continue
        for one in member.split(","):
            names.append(re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)?$", one).group(1))
    return names


def structs():
    bodies = re.findall(r"\bstruct (\w+) \{(.*?)\n\}", declarations(), re.S)
    found = {name: split_members(body) for name, body in bodies}
    assert GROWING < set(found), found
    return found


def enums():
    found = {}
    for name, body in re.findall(r"\benum (\w+) \{(.*?)\}", declarations(), re.S):
        found[name] = [re.match(r"\w+", part.strip()).group(0) for part in body.split(",") if part.strip()]
    assert "curfew_reason" in found, found
    return found


def compiler(name):
    if not shutil.which(name):
        skip(f"{name} is not installed")
    return name


def compile_text(command, text):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


# ---- what a compiler says

def add_compile_case(name, language, standard):
    @case(f"curfew.h compiles alone as {standard} by {name}, pedantically, also when it is included twice")
    def _():
        # `-x` and standard input, as a header given by its name would be compiled as one and warned about.
        command = [compiler(name), *STRICT, f"-std={standard}", "-I" + os.path.dirname(HEADER), "-x", language, "-"]
        compile_text(command, "#include <curfew.h>\n#include <curfew.h>\nint main(void);\n")


for one_language, (compilers, standards) in LANGUAGES.items():
    for one_compiler in compilers:
        for one_standard in standards:
            add_compile_case(one_compiler, one_language, one_standard)


@case("everything that curfew.h names begins with curfew_ or CURFEW_")
def names_are_ours():
    command = [compiler("gcc"), "-E", "-dM", "-I" + os.path.dirname(HEADER), "-x", "c", "-"]
    base = compile_text(command, "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n").splitlines()
    with_ours = compile_text(command, "#include <curfew.h>\n").splitlines()
    macros = {line.split()[1] for line in set(with_ours) - set(base)}
    named = functions() + list(structs()) + list(enums()) + [value for values in enums().values() for value in values]
    named += re.findall(r"\btypedef\b[^;]*\b(\w+)\s*;", declarations())
    foreign = [name for name in sorted(macros) + named if not re.match(r"curfew_|CURFEW_", name)]
    assert not foreign and "CURFEW_H" in macros, f"{foreign} {sorted(macros)}"


# ---- what it says

@case("each public function is documented where it is declared")
def functions_are_documented():
    bare = []
    seen = 0
    for block in re.split(r"\n[ \t]*\n", read(HEADER)):
        for found in re.finditer(r"^CURFEW_API\b[^;]*?\b(\w+)\s*\([^;]*;(.*)$", block, re.M):
            seen += 1
            # Functions that stand together share the comment above the first of them.
            if "/*" not in block[:found.start()] and "/*" not in found.group(2):
                bare.append(found.group(1))
    assert seen == len(functions()), f"{seen} declarations were looked at, of {len(functions())}"
    assert not bare, f"without a comment: {' '.join(bare)}"


@case("docs/library.md and curfew(3) name each function, and none that is not there")
def documents_name_each_function():
    complaints = []
    for path in ("docs/library.md", "man/curfew.3"):
        named = set(re.findall(r"\bcurfew_\w+", read(os.path.join(ROOT, path)).replace("\\-", "-")))
        types = set(structs()) | set(enums()) | {"curfew_session", "curfew_table", "curfew_coordinator"}
        complaints += [f"{path} does not name {name}" for name in functions() if name not in named]
        unknown = sorted(named - set(functions()) - types)
        complaints += [f"{path} names {name}, which curfew.h does not" for name in unknown]
    assert not complaints, "\n".join(complaints)


@case("the C of the README, of docs/library.md and of curfew(3) compiles")
def documents_compile():
    # What the pieces take from the program around them; `...` is something that is left out.
    around = """#include <curfew.h>
        void die(const char *text);
        void refuse(const char *text);
        int forget(void *context, const struct curfew_info *info);
        int piece(void *connection);
        int piece(void *connection) { (void)connection; {
        %s
        } return 0; }"""
    for path, pattern in (("README.md", r"```c\n(.*?)```"), ("docs/library.md", r"```c\n(.*?)```"),
                          ("man/curfew.3", r"^\.SH EXAMPLES\n\.nf\n(.*?)^\.fi")):
        pieces = re.findall(pattern, read(os.path.join(ROOT, path)), re.S | re.M)
        assert pieces, f"no C in {path}"
        for text in pieces:
            text = re.sub(r"^(#include.*|(\\&)?\.\.\.)$", "", text, flags=re.M)
            command = [compiler("gcc"), *STRICT, "-std=c11", "-I" + os.path.dirname(HEADER), "-x", "c", "-"]
            compile_text(command, around % text)


@case("curfew.h and meson.build tell the same version")
def versions_agree():
    text = read(HEADER)
    version = ".".join(re.search(rf"^#define CURFEW_VERSION_{part} (\d+)$", text, re.M).group(1)
                       for part in ("MAJOR", "MINOR", "PATCH"))
    assert f"version: '{version}'" in read(os.path.join(ROOT, "meson.build"))


# ---- the binary interface

def exported():
    """What the shared library shows to a linker, but for the name of its version."""
    path = os.path.join(build(), "libcurfew.so")
    assert os.path.exists(path), f"{path} is not built"
    done = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", path], capture_output=True, text=True,
                          check=True)
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    return sorted(name for name, kind in rows if kind != "A")


def compare(old, new, changed_is_fine=lambda line: False):
    """Fails, saying what to do, when the recorded interface and the present one are not the same."""
    gone = [line for line in old if line not in set(new)]
    come = [line for line in new if line not in set(old)]
    if not gone and not come:
        return
    text = COMPATIBLE if all(changed_is_fine(line) for line in gone) else INCOMPATIBLE
    raise AssertionError("\n".join([text] + ["- " + line for line in gone] + ["+ " + line for line in come]))


@case("the shared library exports what curfew.h declares, and nothing else")
def exports_are_the_declarations():
    names = [name.split("@")[0] for name in exported()]
    missing, foreign = set(functions()) - set(names), set(names) - set(functions())
    assert not missing and not foreign, f"declared, not exported: {missing}; exported, not declared: {foreign}"


@case("the exported symbols and their version are those that were recorded")
def symbols_are_as_recorded():
    compare(written(SYMBOLS), exported())


def layout():
    """One line for each struct, member, enumerator and constant, as a compiler sees them."""
    lines = ['#include <curfew.h>', '#include <stdio.h>', 'int main(void) {']
    for name, members in structs().items():
        lines.append(f'printf("struct {name} size %zu align %zu\\n", sizeof(struct {name}), '
                     f'_Alignof(struct {name}));')
        for member in members:
            lines.append(f'printf("struct {name}.{member} at %zu size %zu\\n", offsetof(struct {name}, {member}), '
                         f'sizeof(((struct {name} *)0)->{member}));')
    for name, values in enums().items():
        for value in values:
            lines.append(f'printf("enum {name} {value} %d\\n", (int){value});')
    for value in re.findall(r"^#define (CURFEW_(?!VERSION_|API|CHECKED|H\b)\w+) ", read(HEADER), re.M):
        lines.append(f'printf("constant {value} %lld\\n", (long long){value});')
    lines.append('printf("curfew_session size %zu\\n", sizeof(curfew_session)); return 0; }')
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "layout")
        command = [compiler("gcc"), "-std=c11", "-I" + os.path.dirname(HEADER), "-x", "c", "-", "-o", program]
        compile_text(command, "\n".join(lines))
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()


def may_change(line):
    """A line that is another one when members were added at the end of a struct that carries its size."""
    found = re.match(r"struct (\w+) size", line)
    return bool(found) and found.group(1) in GROWING


@case("structs, enumerators and constants lie where they were recorded")
def layout_is_as_recorded():
    if sys.maxsize < 2 ** 32:
        skip("what is recorded is that of 64-bit machines")
    compare(written(LAYOUT), layout(), may_change)


def record():
    with open(SYMBOLS, "w", encoding="utf-8") as out:
        out.write("# What libcurfew.so exports.  Written by test_header.py --record.\n")
        out.writelines(line + "\n" for line in exported())
    with open(LAYOUT, "w", encoding="utf-8") as out:
        out.write("# curfew.h as a 64-bit compiler sees it.  Written by test_header.py --record.\n")
        out.writelines(line + "\n" for line in layout())


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        run()
