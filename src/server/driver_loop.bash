# driver_loop.bash: what driver.bash sources; one line, so that lines of commands are counted from 1.
for ((;;)) do __cf_next && [[ 1 ]]; \builtin eval "$__cf_c" >"$__cf_d/o$__cf_p" 2>"$__cf_d/e$__cf_p" || __cf_failed "$?"; done
