# terminal_run.bash: one command in a shell with a terminal; sourced by the trap in terminal.bash, as a file of its own so that a
# trap inside of the command finds it on the stack, and so that `return` ends the command.
# Nothing but eval sees the command's descriptors, and nothing but the command the terminal.
\__cf_begin || \builtin return 0
[[ -z $__cf_z ]] || \builtin kill -URG "$$"
\__cf_status "$__cf_s" "$__cf_e" && \builtin : "$__cf_e"
\builtin eval "${__cf_v[__cf_a]-}" <"$__cf_i" >"$__cf_o" 2>"$__cf_r"
