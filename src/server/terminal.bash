# terminal.bash: commands beside what a person types; sourced by the interactive bash of a session with a terminal as it starts.
#
# That bash is `bash --norc --noprofile --posix -i`, which reads the file that ENV names and no other (with --rcfile some read
# one of the system's before; and a bash whose first command comes from PROMPT_COMMAND never has a PIPESTATUS again). What posix
# mode has set is put back at once.
#
# Descriptor 19 gives, each with a NUL behind it: the session's folder, a token, the path of terminal_run.bash, and text to run
# once, before the first status: the locale's variables and those of the session.  In the folder are
#   q   a request, made anew for each: TOKEN KIND NUMBER PAIR INPUT TEXT, each with a NUL behind it
#   r   a FIFO for statuses; they are those of driver.bash, and each ends in NUL:
#       TOKEN B NUMBER PWD the command of this request may begin; 0, as answer to another request: it is still there
#       TOKEN I 0 PWD      the FIFO that it reads is open
#       TOKEN S CODE PWD   it ended                    TOKEN R CODE PWD   it is gone without an end: an interrupt unwound it
#       TOKEN P NUMBER     answer to request NUMBER of another kind than x, when no command runs
#   a   a FIFO for answers, a line each: "g NUMBER" or "n NUMBER" (go, or no) to the B of request NUMBER, "g NUMBER" to its S
# Whoever has written a request sends SIGWINCH to the shell, and, while it does not answer, SIGURG and SIGWINCH again.  KIND is
# x: run TEXT; k: leave the command that runs; p: say whether one runs.  A request with the number of the one before is none.
#
# Two signals, because the trap of SIGURG does the work (nothing else uses that signal, and who removes the trap is not killed by
# it), but while readline waits for a key, bash looks for traps only when readline has handled a signal itself. SIGWINCH is the one
# that it handles without a trace on the screen or in the line; its trap sends SIGURG, and that one's runs within.  Mostly SIGWINCH is
# enough: bash has system calls go on after it, but not after SIGURG, where a builtin that prints just then would say EINTR.
#
# Answers, because a job that a signal ended makes bash give the terminal the modes that it had before readline took it. Only who
# has its other end can put that right in time, so bash waits until it is done.
#
# Leaving a command needs an interrupt, and readline keeps those from bash; but bash makes one of its own when a job in its
# foreground dies of SIGINT inside of a sourced file.  That unwinds all, readline too, which goes on to believe that its signal
# handlers and the terminal's modes are as it left them.  SIGTTIN is one that it handles by setting up both anew.
set +o posix
shopt -u inherit_errexit
unset ENV HISTFILE
MAILCHECK=60
\builtin mapfile -d '' -t -u 19 __cf_v
exec 19<&-
__cf_d=${__cf_v[0]} __cf_t=${__cf_v[1]} __cf_b=${__cf_v[2]} __cf_l=${__cf_v[3]}
\builtin readonly __cf_d __cf_t __cf_b
# a: number of the command that runs; n: of the last request; z: a request came at a bad time; q, u: $? and $_ of who typed last;
# s, e: $? and $_ for the next command; m: prompt at which they were; k, c: $? and $_ before the trap of SIGWINCH, within that;
# j: readline is not as it believes; f: descriptors of the terminal
__cf_k= __cf_c= __cf_a= __cf_n= __cf_z= __cf_j= __cf_q=0 __cf_u= __cf_s=0 __cf_e= __cf_m= __cf_p='\#' __cf_v=() __cf_f=()

__cf_keep() { __cf_k=$1 __cf_c=$2; }

# The trap of SIGWINCH that comes while a command runs is there to be over before the command waits for something.
__cf_idle() { [[ -z $__cf_a ]]; }

__cf_back() { __cf_j=; }

__cf_status() { \builtin return "$1"; }

__cf_say() { \builtin printf '%s %s %d %.4094s\0' "$__cf_t" "$1" "$2" "${PWD-}" >"$__cf_d/r"; }

__cf_hear() {
    \builtin local __cf_g
    while \builtin mapfile -n 1 -t __cf_g <"$__cf_d/a" && [[ -n ${__cf_g-} && $__cf_g != ?" $1" ]]; do :; done
    [[ ${__cf_g-} == g* ]]
}

# Sets the caller's __cf_w to where the trap met the shell: run, inside of a command; busy, in a function of these; or nothing.
__cf_where() {
    \builtin local __cf_x
    for ((__cf_x = 2; __cf_x < ${#FUNCNAME[@]}; __cf_x++)); do
        case ${FUNCNAME[__cf_x]} in
        __cf_enter | __cf_begin | __cf_done) __cf_w=busy ;;
        source) [[ ${BASH_SOURCE[__cf_x]} != "$__cf_b" ]] || __cf_w=run ;;
        esac
        [[ -z $__cf_w ]] || \builtin break
    done
}

# A function of the user's with that name would take the place of every builtin here.
__cf_fix() {
    \builtin local __cf_x
    __cf_x=
    \builtin printf -v __cf_x %s "$__cf_t"
    if [[ $__cf_x != "$__cf_t" ]]; then
        if [[ -o posix ]]; then
            \unset -f builtin
        else
            POSIXLY_CORRECT=1
            \unset -f builtin
            \unset -v POSIXLY_CORRECT
        fi
        \builtin enable . : break eval kill local mapfile printf return trap
    fi
}

__cf_leave() {
    for __cf_x in 1 2 3; do
        (
            \builtin trap - INT
            \builtin exec /bin/sh -c 'kill -s URG "$PPID"; kill -s INT "$$"'
        )
    done
}

# True when there is a command to begin.
# In the middle of what is typed over several lines (an array, a case, a [[) bash is within that for what it reads here as well, until
# it has read the end of one; after the trap it is there again.  A mistake would do, too, but ends bash in a here document.
__cf_enter() {
    if [[ -n $__cf_k ]]; then
        \builtin set -- "$1" "$__cf_c"
        __cf_k=
    fi
    __cf_fix
    \builtin local __cf_w __cf_x
    __cf_w=
    __cf_where
    if [[ $__cf_w == busy ]]; then
        __cf_z=1
        \builtin return 1
    fi
    __cf_z=
    if [[ -z $__cf_w ]]; then
        __cf_q=$1 __cf_u=$2
        if [[ -n $__cf_a ]]; then
            __cf_a= __cf_q=130 __cf_j=1
            __cf_say R 130
        fi
        if [[ -n $__cf_j ]]; then
            \builtin kill -TTIN "$$"
            \builtin return 1
        fi
    fi
    if ! \builtin mapfile -d '' -t __cf_h <"$__cf_d/q" || [[ ${__cf_h[0]-} != "$__cf_t" || ${__cf_h[2]-} == "$__cf_n" ]]; then
        \builtin return 1
    fi
    __cf_n=${__cf_h[2]}
    case ${__cf_w:-idle}${__cf_h[1]} in
    idlex)
        \builtin eval '__cf_x=()
[[ x ]]' || \builtin :
        \builtin return 0
        ;;
    runk) __cf_leave ;;
    run*) __cf_say B 0 ;;
    *) \builtin printf '%s P %s\0' "$__cf_t" "$__cf_n" >"$__cf_d/r" ;;
    esac
    \builtin return 1
}

__cf_begin() {
    if [[ ${__cf_p@P} != "$__cf_m" ]]; then
        __cf_s=$__cf_q __cf_e=$__cf_u
    fi
    __cf_i=$__cf_d/${__cf_h[4]} __cf_o=$__cf_d/o${__cf_h[3]} __cf_r=$__cf_d/e${__cf_h[3]}
    if [[ ${__cf_h[4]} == - ]]; then
        __cf_i=/dev/null
    fi
    __cf_v=([__cf_n]=${__cf_h[5]}) __cf_f=()
    if [[ ${__cf_h[4]} == i* ]]; then
        __cf_v=([__cf_n]="\\__cf_open; ${__cf_h[5]}")
    fi
    # Where the terminal is, and where bash keeps it while the trap redirects: what a command closes of it is opened anew.
    for __cf_x in 0 10 11 12 13 14 15 16 255; do
        [[ ! -t $__cf_x ]] || __cf_f+=("$__cf_x")
    done
    __cf_h=("${__cf_h[@]:0:5}")
    __cf_a=$__cf_n
    __cf_say B "$__cf_a"
    if ! __cf_hear "$__cf_a"; then
        __cf_a= __cf_v=()
        \builtin return 1
    fi
    # A trap that is still to come would end a `wait` of the command at once.
    \builtin kill -WINCH "$$"
}

# Runs first in a command that reads a FIFO, and says that it is open.
__cf_open() {
    __cf_say I 0
    __cf_status "$__cf_s" "$__cf_e"
} 2>/dev/null

# True when the trap has to come once more.
__cf_done() {
    __cf_fix
    \builtin local __cf_w __cf_x
    __cf_w=
    __cf_where
    if [[ -z $__cf_w && -n $__cf_a ]]; then
        __cf_say S "$1"             # first: the command may have made what follows readonly
        __cf_hear "$__cf_a"
        __cf_a= __cf_v=() __cf_s=$1 __cf_e=$2 __cf_m=${__cf_p@P}
        for __cf_x in "${__cf_f[@]}"; do
            [[ -t $__cf_x ]] || \builtin eval "\\exec $__cf_x<>/dev/tty"
        done
    fi
    [[ -z $__cf_w && -n $__cf_z ]]
}
\builtin readonly -f __cf_keep __cf_idle __cf_back __cf_status __cf_say __cf_hear __cf_where __cf_fix __cf_leave __cf_enter __cf_begin __cf_open __cf_done

\builtin trap '\__cf_back' TTIN
# Neither a reserved word nor an assignment at their beginning: in the middle of a here document or of an array bash knows none there.
\builtin trap '\__cf_keep "$?" "$_"
\__cf_idle && \builtin kill -URG "$$" >/dev/null 2>&1
\__cf_keep "" "$__cf_c"
\builtin : "$__cf_c"' WINCH
\builtin trap '\__cf_enter "${__cf_k:-$?}" "$_" >/dev/null 2>&1 && \builtin . "$__cf_b" >/dev/null 2>&1
\__cf_done "$?" "$_" >/dev/null 2>&1 && \builtin kill -URG "$$" >/dev/null 2>&1
\builtin : "$__cf_u"' URG
PS1='\u@\h:\w\$ '
\builtin eval "$__cf_l"
\builtin unset __cf_l
__cf_say R 0
