# driver.bash: the loop inside a session's shell; sourced by an interactive bash that reads its standard input.
#
# Requests come by the FIFO q and statuses go by the FIFO t of the session's folder, both opened by name for the moment in
# which they are needed, so that no descriptor of the driver is open while a command runs.  A request is a line of 32 bytes
# "TOKEN IK SIZE PAIR" (text behind PAIR is blank) and the command's text, which runs with its output in the FIFOs oPAIR and
# ePAIR.  I is what it reads: - nothing, s the file s, i the FIFO iPAIR.  K is how the text comes: a SIZE bytes of ASCII,
# b ended by NUL, f in the file c.  p in place of I asks whether the loop listens; SIZE is then a number.  What does not
# start with the token was left by an interrupt, and is skipped.  So is every request behind an R, up to the next p: who sent
# it has been told by the R that it is over, and it must not run after that.  Until then lines are read, not 32 bytes.
# Every status ends in NUL:
#   TOKEN S CODE PWD   the command ended    TOKEN R CODE PWD   the loop was (re-)entered: at start, or after something
#   TOKEN P NUMBER     answer to p                             that unwinds it (an interrupt, return, an error)
#   TOKEN B 0 PWD      iPAIR is open, and the command begins
#
# What a command can do to the shell must not reach the loop.  So, in short: each word is quoted against aliases; `builtin`
# and `command` are tried before they are relied upon, and mended in POSIX mode, where no function stands in for `unset`;
# variables of the loop are unset before each use, which shows the read-only ones; each command starts from descriptors that
# are set anew.  The line that sources this file redirects it, and of the saved descriptors, close-on-exec and 18 to 20 as a
# rule, bash takes standard input back when something unwinds the loop, and finds the next such line there.
# eval is a word of `builtin` in an or-list: so `set -e` holds inside it, and a failing and-list at its end is let pass.
\__cf_enter "$?" && \builtin :
case $? in
1)
    # $1: the status with which the loop was left; $2 not empty: it never was, and so a request begins.  3 when standard input has to be saved once
    # more, and 2 when a command has made variables of the loop read-only.
    __cf_enter()
    {
        [[ -n ${2-} ]] || __cf_words "${POSIXLY_CORRECT+posix}" "${POSIXLY_CORRECT=y}"
        # A child that an interrupt met before it was a subshell goes on as if it were the shell.
        [[ ${BASHPID-$$} == "$$" ]] || \builtin kill -KILL "$BASHPID"
        # The fillers that kept bash from saving descriptors where commands have theirs.
        case ${__cf_x[*]+${__cf_x[@]@a}} in
        '' | *r*) ;;
        *)
            [[ -z ${__cf_x[0]+x} ]] || \command exec {__cf_x[0]}<&- {__cf_x[1]}<&- {__cf_x[2]}<&- {__cf_x[3]}<&- \
                {__cf_x[4]}<&- {__cf_x[5]}<&- {__cf_x[6]}<&- {__cf_x[7]}<&-
            __cf_x=()
            ;;
        esac
        __cf_fresh || {
            __cg_k=${__cf_k:-$1}
            [[ ${__cf_k+${__cf_k@a}} == *r* ]] || __cf_k=
            \builtin return 2
        }
        __cf_s=${__cf_k:-$1} __cf_r=R __cf_m=-q __cf_g=${2:-no request} __cf_p=0 __cf_b=19 __cf_k= __cf_o=${__cf_o:-$BASHOPTS}
        \builtin shopt -u expand_aliases
        [[ -z ${2-} ]] || \builtin return 0
        [[ -z ${__cf_i-} ]] || \builtin eval "$__cf_i"
        \builtin unset __cf_i
        # What an interrupted `read -N` had taken from a pipe is still with bash, up to 4096 bytes of it, and comes out of the
        # next one, whatever it reads.
        \builtin read -r -N 4096 __cf_w <<<x
        # Where bash has saved things: first standard input, next a /dev/null, which the loop's own output goes to.  Standard
        # input without that is a filler of a line that an interrupt met: the next line's have taken its place in the array.
        __cf_b=3
        until [[ /dev/fd/$__cf_b -ef $__cf_d/b && /dev/fd/$((__cf_b + 1)) -ef /dev/null || $__cf_b -gt 63 ]]; do
            [[ ! /dev/fd/$__cf_b -ef $__cf_d/b ]] || {
                __cf_x[0]=$__cf_b
                \command exec {__cf_x[0]}<&-
                __cf_x=()
            }
            __cf_b=$((__cf_b + 1))
        done
        __cf_b=$((__cf_b + 1))
        [[ $__cf_b -le 64 ]] || {       # a command had closed it, and bash saved something else
            __cf_k=$__cf_s
            \command exec 18<&- <"$__cf_d/b"
            \builtin return 3
        }
    }

    # Unsets the loop's variables, those which have nothing to keep.  Fails when one of all is read-only.
    __cf_fresh()
    {
        [[ ${__cf_k+${__cf_k@a}}${__cf_o+${__cf_o@a}}${__cf_q+${__cf_q@a}} != *r* ]] &&
            \builtin unset -v __cf_s __cf_r __cf_m __cf_g __cf_p __cf_v __cf_w __cf_c __cf_e __cf_b
    }

    # Says how the command went and reads the next one.  Returns the status that this one shall find in $?.
    __cf_next()
    {
        __cf_s=$__cf_s __cf_r=$__cf_r __cf_m=$__cf_m __cf_g=$__cf_g __cf_p=$__cf_p
        \builtin unset -v __cf_v __cf_w __cf_c __cf_e || __cf_mend
        \command exec <&"$__cf_b" >&- 2>&"$__cf_b" || __cf_mend
        \builtin eval '__cf_v=$FUNCNAME'
        [[ ${__cf_v-} == __cf_next ]] && ! \builtin declare -F command || __cf_mend
        \builtin printf '%s %s %d %.4094s\0' "$__cf_t" "$__cf_r" "$__cf_s" "${PWD-}" >"$__cf_d/t" || {
            __cf_mend
            \builtin printf '%s %s %d %.4094s\0' "$__cf_t" "$__cf_r" "$__cf_s" "${PWD-}" >"$__cf_d/t" || \builtin exit "$__cf_s"
        }
        # The redirection of the group makes bash think that background jobs have an input of their own, and the inner one makes
        # it forget that.
        {
            until
                \builtin read -r -u 7 "$__cf_m" __cf_w || __cf_e=$?
                [[ ${__cf_w-} == "$__cf_g"* ]] && \builtin read -r -u 7 -N "${__cf_w:12:4}" __cf_c
            do
                __cf_other && \builtin break
            done >&"$__cf_b"
            __cf_p=${__cf_w:17} __cf_p=${__cf_p%% *} __cf_v=$__cf_s __cf_s=0 __cf_r=S __cf_m=-N32
        } 7<"$__cf_d/q" || \builtin exit 1
        [[ ${__cf_w:9:2} == -a && $- != *a* && $__cf_q$__cf_c != *EXIT* ]] && \command exec 2>&- || __cf_rare
        \builtin return "$__cf_v"
    }

    # $1: the status of a command that failed.  A bash of 5.2 whose eval meets a $( without its end writes before the text it
    # parses from then on, until an interrupt resets its parser: so it gets one, for which an INT trap is put aside.
    __cf_failed()
    {
        __cf_s=$1
        [[ $1 -ne 2 || $__cf_c != *[\$\<\>]\(* ]] || {
            \command exec <&"$__cf_b" >&"$__cf_b" 2>&"$__cf_b"
            __cf_k=$1 __cf_i=$(\builtin trap -p INT)
            \builtin trap - INT
            \builtin kill -INT "$BASHPID"
        }
    }

    # A line that is not the usual request.  0 when a command has come with it.
    __cf_other()
    {
        [[ $__cf_m == -[nN]* ]] || {        # -q is no option of read: the loop has said for the first time that it is there
            __cf_m=-n4096
            [[ :$__cf_o: != *:expand_aliases:* ]] || \builtin shopt -s expand_aliases
            __cf_o=
            \builtin unset __cf_e
            [[ -z ${__cf_l-} ]] || {
                \builtin eval "$__cf_l"
                \builtin unset __cf_l
            }
            \builtin return 1
        }
        case ${__cf_w-} in
        "$__cf_t p"*)
            __cf_w=${__cf_w:12}
            \builtin printf '%s P %s\0' "$__cf_t" "${__cf_w%% *}" >"$__cf_d/t"
            __cf_g="$__cf_t -a "
            \builtin return 1
            ;;
        "$__cf_t "[-si][abf]" "*) [[ $__cf_g == "$__cf_t"* ]] || \builtin return 1 ;;
        *)
            [[ ${__cf_e-0} -ne 1 ]] || {    # the end of all requests; more than 128 is TMOUT's
                \builtin shopt -u checkjobs
                \builtin exit "$__cf_s"
            }
            \builtin unset __cf_e
            \builtin return 1
            ;;
        esac
        case ${__cf_w:10:1} in
        a) \builtin read -r -u 7 -N "${__cf_w:12:4}" __cf_c ;;
        b) IFS='' \builtin read -r -u 7 -d '' __cf_c ;;
        f) LC_ALL=C IFS='' \builtin read -r -d '' __cf_c <"$__cf_d/c" ;;
        esac
        [[ -n ${__cf_c-} ]] || __cf_c='\builtin printf "curfew: the command was lost\n" >&2; (\builtin exit 126)'
        \builtin return 0
    }

    # What few commands need.
    __cf_rare()
    {
        case ${__cf_w:9:1} in
        s) \command exec <"$__cf_d/s" ;;
        i)
            \command exec <"$__cf_d/i$__cf_p"
            \builtin printf '%s B 0 %.4094s\0' "$__cf_t" "${PWD-}" >"$__cf_d/t"
            ;;
        esac
        # With `set -a` each assignment exports, and a long command would leave no room for what it starts.
        [[ $- != *a* ]] || \builtin export -n __cf_s __cf_r __cf_m __cf_g __cf_p __cf_v __cf_w __cf_c __cf_o __cf_q
        # An EXIT trap runs when all redirections are undone, but those of exec.  They hold for what the loop itself prints,
        # too, such as its own trace, so not for everyone.
        if [[ ${__cf_w:10:1} == f || $__cf_q$__cf_c != *EXIT* || $- == *x* ]]; then
            \command exec >&- 2>&-
        else
            __cf_q=EXIT
            \command exec >"$__cf_d/o$__cf_p" 2>"$__cf_d/e$__cf_p"
        fi
    }

    # Something that the loop relies upon did not do what it should.  Leaves the loop when it has to be entered anew.
    __cf_mend()
    {
        __cf_words "${POSIXLY_CORRECT+posix}" "${POSIXLY_CORRECT=y}"
        \builtin unset -v __cf_v __cf_w __cf_c __cf_e &&
            \command exec <&"$__cf_b" >&- 2>&"$__cf_b" &&
            \builtin eval '__cf_v=mended'
        [[ ${__cf_v-} == mended ]] || {
            # Saved descriptors that are gone are saved again by the next line; standard input has to be found for it.
            \command exec <"$__cf_d/b" >/dev/null 2>/dev/null || \builtin exit 1
            __cf_k=$__cf_s
            __cf_v=${__cf_none?}
        }
    }

    # Gives `builtin` and `command` back their meaning, and enables what the loop needs.  $1 is empty when the caller has
    # switched on POSIX mode just now, by an assignment in its second argument: no function can come in between.
    __cf_words()
    {
        \unset -f builtin command
        [[ -n $1 ]] || \unset -v POSIXLY_CORRECT
        \enable builtin command
        \command enable builtin
        \builtin enable break builtin command declare enable eval exec exit export kill printf read return shopt trap unset
    }
    \builtin readonly -f __cf_enter __cf_fresh __cf_next __cf_failed __cf_other __cf_rare __cf_mend __cf_words
    __cf_enter 0 "$__cf_t -a "
    ;;
3) \builtin return ;;
2)
    # The same loop once more, by names that are not taken.
    [[ __cf_ != __c[f]_ ]] || {
        __cg_d=$__cf_d __cg_t=$__cf_t __cg_f=$__cf_f __cg_o=${__cg_o-} __cg_q=${__cg_q-}
        __cg_enter() { \builtin return 1; }
        __cg_y=$(<"$__cf_f") __cg_z=$(<"${__cf_f%.bash}_loop.bash")
        __cg_z=${__cg_z//__cf_/__cg_}
        \builtin eval "${__cg_y//__cf_/__cg_}"
    }
    \builtin return
    ;;
esac
# What leaves driver_loop.bash (return, break) is followed by the next entry here, at once.
for ((;;)) do
    if [[ __cf_ == __c[f]_ ]]; then
        \builtin . "${__cf_f%.bash}_loop.bash" && __cf_v=0 || __cf_v=$?
    else
        \builtin eval "$__cf_z" && __cf_v=0 || __cf_v=$?
    fi
    \__cf_enter "$__cf_v" || \builtin return
done
