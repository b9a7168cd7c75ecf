#!/usr/bin/env python3
"""What `meson install` leaves is enough for a program outside: header, shared and static library, pkg-config.

budget: 300
"""
import functools
import os
import re
import shutil
import subprocess
import tempfile

from harness import clean_env
from tap import case, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = tempfile.mkdtemp(prefix="install.")
BUILD = os.path.join(WORK, "build")
DEST = os.path.join(WORK, "dest")
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-pedantic", "-Werror", "-O1"]
TIMEOUT_S = 240

# C and C++ alike: a thread that sweeps, one that creates and touches, and a look at the counters.
USER = r"""
#include <curfew.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *work(void *argument)
{
    struct curfew_table *table = (struct curfew_table *)argument;
    struct curfew_new want;
    curfew_session session = 0, found = 0;
    memset(&want, 0, sizeof want);
    for (int i = 0; i < 100; i++)
        if (curfew_session_create(table, &want, &session, NULL) != 0
            || curfew_session_touch(table, session, CURFEW_TOUCH_MESSAGE) != 0
            || curfew_session_end(table, session) != 0)
            return argument;
    want.id = "kept";
    if (curfew_session_create(table, &want, &session, NULL) != 0 || curfew_session_find(table, "kept", &found) != 0)
        return argument;
    return found == session ? NULL : argument;
}

int main(void)
{
    struct curfew_table *table = NULL;
    struct curfew_counts counts;
    pthread_t thread;
    void *result = &thread;
    if (curfew_table_new(NULL, &table, NULL) != 0 || curfew_sweeper_start(table, NULL) != 0)
        return 1;
    if (pthread_create(&thread, NULL, work, table) != 0 || pthread_join(thread, &result) != 0 || result != NULL)
        return 2;
    curfew_counts_get(table, &counts, sizeof counts);
    curfew_table_free(&table);
    printf("%s %d %d\n", curfew_version(), (int)counts.sessions_created, (int)counts.sessions_active);
    return 0;
}
"""

# A plug-in host: the library comes and goes, the last time while a thread that used it lives on.
PLUGIN_HOST = r"""
#include <curfew.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;
static pthread_barrier_t used, closed;

static void *work(void *argument)
{
    int (*make)(const struct curfew_options *, struct curfew_table **, struct curfew_error *);
    int (*find)(struct curfew_table *, const char *, curfew_session *);
    void (*release)(struct curfew_table **);
    struct curfew_table *table = NULL;
    curfew_session session;
    *(void **)&make = dlsym(library, "curfew_table_new");
    *(void **)&find = dlsym(library, "curfew_session_find");
    *(void **)&release = dlsym(library, "curfew_table_free");
    (void)argument;
    if (make(NULL, &table, NULL) != 0 || find(table, "nobody", &session) != CURFEW_E_NOT_FOUND)
        exit(3);
    release(&table);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&closed);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *result = &thread;
    (void)argc;
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&closed, NULL, 2);
    for (int i = 0; i < 200; i++) {
        if (library != NULL)
            dlclose(library);
        library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            puts(dlerror());
            return 1;
        }
    }
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 1;
    pthread_barrier_wait(&used);
    dlclose(library);
    pthread_barrier_wait(&closed);
    if (pthread_join(thread, &result) != 0 || result != NULL)
        return 2;
    puts("went well");
    return 0;
}
"""


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


def call(command, env=None, text=None):
    done = subprocess.run(command, cwd=WORK, env=env or clean_env(), input=text, capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)
    said = done.stdout[-4000:] + done.stderr[-4000:]
    assert done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{said}"
    return done.stdout


@functools.cache
def install():
    """Builds and installs, once; returns what went wrong."""
    # An environment of the tests may carry flags of the sanitizers' build.
    env = clean_env(CFLAGS=None, LDFLAGS=None)
    try:
        call(["meson", "setup", "--buildtype=debugoptimized", BUILD, ROOT], env)
        call(["ninja", "-C", BUILD], env)
        call(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", DEST], env)
    except AssertionError as problem:
        return str(problem)
    return ""


def installed(name):
    """The path of what is installed under this name, anywhere."""
    assert not install(), "nothing was installed; the first test tells why"
    found = [os.path.join(folder, name) for folder, folders, files in os.walk(DEST) if name in files + folders]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def pkg_config(*words):
    # Nothing but the file that was installed, seen as if DEST were the root of the machine.
    env = clean_env(PKG_CONFIG_LIBDIR=os.path.dirname(installed("curfew.pc")), PKG_CONFIG_SYSROOT_DIR=DEST,
                    PKG_CONFIG_PATH=None)
    return call(["pkg-config", *words, "curfew"], env).split()


def compile_program(name, compiler, text, before=(), after=()):
    """Compiles and links a text by pkg-config's words alone, but for what a case adds."""
    source = os.path.join(WORK, name + (".cc" if compiler.endswith("++") else ".c"))
    with open(source, "w", encoding="utf-8") as out:
        out.write(text)
    program = os.path.join(WORK, name)
    call([compiler, *STRICT, *before, source, "-o", program, *after])
    return program


def run_program(program, *arguments):
    return call([program, *arguments], clean_env(LD_LIBRARY_PATH=os.path.dirname(installed("libcurfew.so"))))


def version():
    return re.search(r"version: '([\d.]+)'", read(os.path.join(ROOT, "meson.build"))).group(1)


def shared_words():
    return pkg_config("--cflags", "--libs")


def static_words():
    """The library as its archive, everything else as the system has it."""
    words = pkg_config("--static", "--cflags", "--libs")
    assert "-lcurfew" in words and "-pthread" in words, words
    return ["-l:libcurfew.a" if word == "-lcurfew" else word for word in words]


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", call(["readelf", "-dW", path]))


@case("an ordinary build installs header, libraries, pkg-config file and manual pages where it is told to")
def files_are_there():
    assert not install(), install()
    for name in ("curfew.h", "libcurfew.so", "libcurfew.so.0", "libcurfew.so." + version(), "libcurfew.a", "curfew.pc",
                 "curfew.1", "curfew.3", "curfew-keeper", "curfew-server"):
        installed(name)
    assert read(installed("curfew.h")) == read(os.path.join(ROOT, "include/curfew.h"))
    headers = [file for _, _, files in os.walk(DEST) for file in files if file.endswith(".h")]
    assert headers == ["curfew.h"], headers


@case("the pkg-config file tells the version and names nothing but the library")
def pkg_config_file():
    assert pkg_config("--modversion") == [version()]
    assert pkg_config("--libs-only-l") == ["-lcurfew"]
    words = [word for word in pkg_config("--cflags", "--libs") if not word.startswith((f"-I{DEST}", f"-L{DEST}"))]
    assert words == ["-lcurfew"], words
    assert BUILD not in read(installed("curfew.pc"))


@case("a C program is compiled, linked with the shared library and run by pkg-config's words alone")
def shared_c():
    options = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-pthread"]
    program = compile_program("shared", "gcc", USER, options, shared_words())
    assert run_program(program) == f"{version()} 101 1\n"
    assert "libcurfew.so.0" in needed(program)


@case("a C++ program is, too")
def shared_cc():
    program = compile_program("shared_cc", "g++", USER, ["-std=c++17", "-pthread"], shared_words())
    assert run_program(program) == f"{version()} 101 1\n"


@case("C and C++ programs link the static library, alone or with all else static, and run without the shared one")
def static_programs():
    for name, compiler, words in (("static", "gcc", static_words()), ("static_cc", "g++", static_words()),
                                  ("all_static", "gcc", ["-static", *pkg_config("--static", "--cflags", "--libs")])):
        program = compile_program(name, compiler, USER, after=words)
        assert call([program]) == f"{version()} 101 1\n"
        assert not [library for library in needed(program) if "curfew" in library], name


def archive_symbols(*options):
    rows = call(["nm", "--format=posix", *options, installed("libcurfew.a")]).splitlines()
    return [row.split()[0] for row in rows if len(row.split()) > 1]


@case("the static library shows curfew_ names only: a program may use every name that is inside it")
def no_clash():
    shown = archive_symbols("--extern-only", "--defined-only")
    assert len(shown) > 30 and all(name.startswith("curfew_") for name in shown), shown
    defined = set(archive_symbols("--defined-only")) - set(shown)
    inside = sorted(name for name in defined if re.fullmatch(r"[a-z]\w+", name))
    assert len(inside) > 20, inside
    names = os.path.join(WORK, "names.c")
    with open(names, "w", encoding="utf-8") as out:
        out.write("".join(f"extern int {name};\nint {name} = 1;\n" for name in inside))
    program = compile_program("clash", "gcc", USER, ["-fno-builtin", names], static_words())
    assert call([program]) == f"{version()} 101 1\n"


@case("the shared library needs nothing but libc, has no text relocations, and no executable stack")
def shared_is_clean():
    path = installed("libcurfew.so." + version())
    assert all(re.match(r"libc\.so|libpthread\.so|ld-linux", library) for library in needed(path)), needed(path)
    dynamic, headers = call(["readelf", "-dW", path]), call(["readelf", "-lW", path])
    assert "TEXTREL" not in dynamic and "[libcurfew.so.0]" in dynamic, dynamic
    assert re.search(r"GNU_STACK .* RW ", headers) and "GNU_RELRO" in headers, headers


@case("the shared library can be loaded late, often, and given back while a thread that used it lives on")
def loaded_late():
    program = compile_program("host", "gcc", PLUGIN_HOST, ["-Wno-pedantic", "-D_GNU_SOURCE", "-pthread"],
                              [*pkg_config("--cflags"), "-ldl"])
    assert run_program(program, "libcurfew.so.0") == "went well\n"


@case("each example builds outside by the line that it is given, strictly, with the shared and the static library")
def examples_build_outside():
    folder = os.path.join(ROOT, "examples")
    names = sorted(name[:-2] for name in os.listdir(folder) if name.endswith(".c"))
    assert names == ["coordinator", "loop", "manager"], names
    programs = {}
    for name in names:
        text = read(os.path.join(folder, name + ".c"))
        for kind, words in (("shared", shared_words()), ("static", static_words())):
            programs[name, kind] = compile_program(f"{name}_{kind}", "gcc", text, ["-std=gnu11"], words)
    assert "sessions_created 1003" in run_program(programs["manager", "shared"])
    assert "sessions_created 1003" in call([programs["manager", "static"]])


if __name__ == "__main__":
    run(lambda: shutil.rmtree(WORK, ignore_errors=True))
