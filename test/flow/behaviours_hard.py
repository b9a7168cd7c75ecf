r"""behaviours_hard.py: rows of behaviours.py about what a command does to the shell that it runs in; imported for its effect.

None of it may reach the answer, or the next command.  In a terminal another driver runs them: see terminal.bash.
"""
from behaviours import CLOSED, PIPE, Case, like, section

ALL = "eval printf read unset : exec exit return set cd test [ . source trap shift declare local enable shopt export readonly kill break continue"
FAKES = "; ".join(f"function {name} {{ echo fake; }}" for name in ALL.split())
KEYWORDS = "while until for do done if then else fi case esac in { } [[ ! time function select coproc"
ALIASES = "alias " + " ".join(f"'{name}=echo aliased'" for name in KEYWORDS.split())
AFTER_INTERRUPT = ("sleep 30", "", 0.2)
SAYS_B = ("echo b $?", like(r"b \d+\n"))
SAYS_C = ("echo c; echo err >&2", "c\n")


def hard(name, command, out="", err="", code=0, then=(), **more):
    """Also behind an interrupt, when the driver is entered anew with all of it in place."""
    steps = (SAYS_B, AFTER_INTERRUPT, SAYS_B, SAYS_C) if not then else then
    Case(name, command, out, err, code, where=PIPE, own=True, then=steps, **more)


section("what stands in for builtins")
hard("functions of all builtins that the driver might use, but builtin and command", FAKES)
hard("a function builtin that does nothing", "builtin() { :; }")
hard("a function builtin that passes all on", "builtin() { command builtin \"$@\"; }")
hard("a function command that passes all on", "command() { builtin command \"$@\"; }")
hard("functions builtin and command, and all the rest", FAKES + "; builtin() { echo fake; }; command() { echo fake; }")
hard("a function builtin, and the loop is left in the same command", "builtin() { :; }; return 3", code=3)
hard("functions of reserved words", "function [[ { :; }; function while { :; }; function case { :; }; function for { :; }")
hard("aliases of all reserved words", ALIASES, then=(AFTER_INTERRUPT, ("\\unalias -a", ""), SAYS_B, SAYS_C))
hard("aliases stay through an interrupt", "alias hi='echo hello'", then=(AFTER_INTERRUPT, ("hi you", "hello you\n")))
hard("expand_aliases off stays through an interrupt", "shopt -u expand_aliases; alias hi='echo hello'",
     then=(AFTER_INTERRUPT, ("type -t hi", ""), ("shopt expand_aliases", like("expand_aliases *\toff\n"))))
hard("builtins that the driver uses are disabled", "enable -n read builtin eval command printf return exec unset break kill declare trap")
hard("a handler of commands that are not found", "command_not_found_handle() { echo handled; }", then=(("no-such", "handled\n"), SAYS_C))
hard("POSIX mode stays, also where the driver mends itself", "POSIXLY_CORRECT=mine; builtin() { :; }",
     then=(("echo $POSIXLY_CORRECT; shopt -o posix", like("mine\nposix *\ton\n")), AFTER_INTERRUPT, ("shopt -o posix", like(".*on\n"))))
hard("no POSIX mode where the driver mends itself", "builtin() { :; }", then=(("echo ${POSIXLY_CORRECT-none}; shopt -o posix", like("none\nposix *\toff\n")),))

section("variables of the driver")
hard("each of its variables is read-only", "readonly ${!__cf_*}", code=None, err=None)
hard("one of its variables is read-only", "readonly __cf_c", code=None, then=(SAYS_B, ("return 4", ""), ("echo $?", "4\n"), AFTER_INTERRUPT, SAYS_C))
hard("the session keeps its state when the driver takes other names", "x=5; f() { echo f$x; }; cd /tmp; readonly __cf_s", code=None,
     then=(("f; pwd", "f5\n/tmp\n"), SAYS_C))
hard("its variables are unset", "unset ${!__cf_*} 2>/dev/null", code=None)
hard("its functions are unset", "unset -f $(compgen -A function) 2>/dev/null", code=None)
hard("its variables have attributes", "declare -i __cf_c __cf_w; declare -u __cf_p; declare -a __cf_m; declare -x __cf_v")
hard("FUNCNAME has lost its meaning", "unset FUNCNAME")
hard("IFS, TMOUT and LC_ALL are read-only, and strange", "readonly IFS=x- TMOUT=1 LC_ALL=C",
     then=(("sleep 1.2", ""), ("echo grüße", "grüße\n"), ("#" + "é" * 3000 + "\necho long", "long\n"), AFTER_INTERRUPT, SAYS_C))
hard("IFS of every character that a request has", "IFS='-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_. '",
     then=(("echo b", "b\n"), AFTER_INTERRUPT, SAYS_C))
hard("set -a exports nothing of the driver, and a long command can start others", "set -a",
     then=(("env | grep -c __cf_", "0\n"), ("#" + "x" * 200000 + "\n/bin/echo long", "long\n"), SAYS_C))

section("descriptors of the driver")
hard("a lock on a descriptor of two digits", "exec 10>lock10 11>&10; echo in >&10",
     then=(("echo more >&11; cat lock10", "in\nmore\n"), AFTER_INTERRUPT, ("echo last >&10; tail -1 lock10", "last\n"), SAYS_C))
hard("bash picks a descriptor", "exec {fd}>picked; echo $fd; echo in >&$fd", "10\n", then=(("echo more >&$fd; cat picked", "in\nmore\n"),))
hard("each descriptor from 3 to 9 is the command's own", "for i in {3..9}; do eval \"exec $i>>own\"; done",
     then=(("for i in {3..9}; do echo $i >&$i; done; cat own", "".join(f"{i}\n" for i in range(3, 10))), AFTER_INTERRUPT,
           ("echo x >&7; tail -1 own", "x\n"), SAYS_C))
hard("all descriptors closed", "for i in {3..255}; do eval \"exec $i>&-\"; done")
hard("all descriptors closed, and the loop is left in the same command", "for i in {3..255}; do eval \"exec $i>&-\"; done; return 4", code=4,
     then=(("echo $?", "4\n"), SAYS_C, AFTER_INTERRUPT, SAYS_C))
hard("ulimit -n 10, with input and interrupts", "ulimit -n 10")
hard("no descriptor of the driver is open in what a command starts", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ")
hard("a background job without job control reads nothing", "cat & wait", stdin="data\n")

section("traps and traces of the driver")
hard("an extdebug trap that forbids some commands", "shopt -s extdebug; trap '[[ $BASH_COMMAND != rm* ]]' DEBUG",
     then=(("touch keep; rm keep; ls keep", "keep\n"), AFTER_INTERRUPT, SAYS_C))
hard("a DEBUG trap prints for the command's own commands only", "trap 'echo d:$BASH_COMMAND' DEBUG",
     then=(("echo x", "d:echo x\nx\n"), ("trap - DEBUG", "d:trap - DEBUG\n"), SAYS_C))
hard("an ERR trap with errtrace runs once", "set -E; trap 'echo err $?' ERR", then=(("(exit 4)", "err 4\n"), ("trap - ERR", ""), SAYS_C))
hard("a RETURN trap says nothing behind a command", "trap 'echo ret' RETURN", then=(("echo x", "x\n"), ("trap - RETURN", ""), SAYS_C))
hard("BASH_XTRACEFD and PS4 that runs a command", "exec 5>trace; BASH_XTRACEFD=5; PS4='$(echo +)'; set -x",
     then=(("echo x", "x\n"), AFTER_INTERRUPT, SAYS_C))
hard("set -u, set -k, set -t, set -P, set -b, set +h, set +B", "set -ukPb; set +hB")
hard("an INT trap stays through an interrupt", "trap 'echo int' INT", then=(("sleep 30; echo on", "int\non\n", 0.2), ("trap -p INT", "trap -- 'echo int' SIGINT\n")))
hard("an INT trap stays through an unfinished $(", "trap 'echo int' INT", then=(("echo $(", ""), ("trap -p INT", "trap -- 'echo int' SIGINT\n"), SAYS_C))

section("what leaves the loop")
hard("unfinished $( over and over", "echo $(", code=2, err=None,
     then=tuple(step for _ in range(4) for step in (("return 4", ""), ("x=$(", ""), ("echo a $(echo b)", "a b\n"), ("break", ""), ("cat <(", ""), SAYS_C)))
hard("return over and over", "return 4", code=4, then=tuple(step for i in range(9) for step in ((f"return {i}", ""), ("echo $?", f"{i}\n"))))
hard("line numbers are the command's own", "echo $LINENO\n\necho $LINENO", "1\n3\n",
     then=(("f() {\n  echo $LINENO\n}\nf", "2\n"),))
hard("a syntax error names its line", "echo a\n\nif", "a\n", like(".*line 4: syntax error: unexpected end of file.*"), 2)

section("ends of the shell, and what is said then")
Case("an EXIT trap's output is in the answer", "trap 'echo bye; echo err >&2' EXIT; echo hi; exit 4", "hi\nbye\n", "err\n", 4, CLOSED, PIPE)
Case("an EXIT trap and set -e", "trap 'echo bye' EXIT; set -e; echo a; false; echo b", "a\nbye\n", None, 1, CLOSED, PIPE)
Case("set -e lets a list at the end pass", "set -e; [ -f nope ] && echo x", code=1, where=PIPE, own=True,
     then=(("echo $- | grep -c e; if false; then :; fi", "1\n"), ("true && [ -f nope ] && x", ""), SAYS_C))
Case("set -r ends the session", "set -r; echo last", "last\n", None, None, CLOSED, PIPE)
