# driver.bash: the loop inside a session's shell; sourced by an interactive bash that reads its standard input.
#
# 18 gives requests, 19 takes statuses; neither is open by its number while a command runs, so that no command reads the
# one or prints into the other by chance. (bash itself keeps copies of both, close-on-exec and under numbers of its own
# choosing: hence the token in each status.)  A request is a line "TOKEN LENGTH PAIR INPUT" and LENGTH bytes of bash text
# (or f for LENGTH: the text is in the file c), and runs with its output in the FIFOs oPAIR and ePAIR.  INPUT says what its
# standard input is: - nothing, s the file s, i the FIFO iPAIR. A line without the token is what an interrupt left of an
# earlier request, and is skipped.  So is every request behind an R, up to the next p: who sent it has been told by the R that it is over,
# and it must not run after that. Every status ends in NUL:
#   TOKEN S CODE PWD   the command ended    TOKEN R CODE PWD   the loop was (re-)entered: at start, or after something
#   TOKEN P WORD       answer to "TOKEN p WORD"                that unwinds it (an interrupt, break, return)
#   TOKEN B 0 PWD      iPAIR is open, and the command begins
# The locale's variables are set after the first of them: a bash that starts with them takes a sixth longer to be there.
# The status is sent in the loop's condition, because `continue` in a command leads there and nowhere else.
# The shell's own standard input holds a spare ". driver.bash" line, from which the loop comes back after unwinding.
# Nothing but eval sees the user's descriptors: the loop's own output, traces included, goes to /dev/null.
__cf_s=$? __cf_r=R __cf_g=${__cf_b-} __cf_b=
__cf_status "$__cf_s" && \builtin :
while
    __cf_s=$?
    \builtin printf '%s %s %d %.4094s\0' "$__cf_t" "$__cf_r" "$__cf_s" "${PWD-}" >&19
    [[ -z ${__cf_l-} ]] || { \builtin eval "$__cf_l"; \builtin unset __cf_l; }
    __cf_r=S
    while LC_ALL=C IFS=' ' TMOUT='' \builtin read -r -u 18 __cf_w __cf_n __cf_p __cf_i; do
        [[ $__cf_w == "$__cf_t" ]] || continue
        case $__cf_n in
        p) \builtin printf '%s P %s\0' "$__cf_t" "$__cf_p" >&19; __cf_g=go; continue ;;
        esac
        [[ -n $__cf_g ]] || continue
        case $__cf_n in
        f) LC_ALL=C IFS='' TMOUT='' \builtin read -r -d '' __cf_c <"$__cf_d/c" ;;
        *) LC_ALL=C IFS='' TMOUT='' \builtin read -r -u 18 -N "$__cf_n" __cf_c || continue ;;
        esac
        break
    done
    [[ -n $__cf_n ]]        # empty: the last line was the end of all requests
do
    case $__cf_i in
    i)
        {
            \builtin printf '%s B 0 %.4094s\0' "$__cf_t" "${PWD-}" >&19
            __cf_status "$__cf_s" && \builtin :
            \builtin eval "$__cf_c" >"$__cf_d/o$__cf_p" 2>"$__cf_d/e$__cf_p" 18<&- 19>&-
        } <"$__cf_d/i$__cf_p"
        ;;
    s)
        __cf_status "$__cf_s" && \builtin :
        \builtin eval "$__cf_c" <"$__cf_d/s" >"$__cf_d/o$__cf_p" 2>"$__cf_d/e$__cf_p" 18<&- 19>&-
        ;;
    *)
        __cf_status "$__cf_s" && \builtin :
        \builtin eval "$__cf_c" </dev/null >"$__cf_d/o$__cf_p" 2>"$__cf_d/e$__cf_p" 18<&- 19>&-
        ;;
    esac
done
