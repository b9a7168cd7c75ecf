/* attach: this terminal becomes the session's, for a while. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/attach.h"
#include "cli/opts.h"
#include "cli/request.h"
#include "cli/signals.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DETACH_KEYS "ctrl-\\,d"
#define LASTED_NS (5 * CF_NS_PER_S)         /* a connection that is lost sooner a second time is not made again */
#define PAUSE_MS 100                        /* before the next, times how many were short: up to a second */

/* Those that end us, and those that a terminal sends. */
static int signals_take(sigset_t *ret_old)
{
    static const int more[] = {SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
    sigset_t set;

    cf_signals_ending(&set);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        sigaddset(&set, more[i]);
    return cf_signals_take(&set, ret_old);
}

/* Whoever falls behind has taken what there was by then, so that the next connection shows a later screen: on a slow
 * line a flood of output is seen in steps, and the key that ends it still arrives. */
static void pause_short(const struct cf_attach *a, int shorts)
{
    poll(&(struct pollfd){.fd = a->signal_fd, .events = POLLIN}, 1, (shorts < 10 ? shorts : 10) * PAUSE_MS);
}

/* Connection after connection. */
static enum cf_attach_end show(struct cf_attach *a)
{
    for (int behind = 0, lost = 0;;) {
        int64_t begun_ns = cf_clock_now().mono_ns;
        enum cf_attach_end end = cf_attach_show(a);

        if (cf_clock_now().mono_ns - begun_ns >= LASTED_NS)
            behind = lost = 0;
        if (end != CF_ATTACH_AGAIN && end != CF_ATTACH_BEHIND && !(end == CF_ATTACH_LOST && lost++ == 0))
            return end;
        cf_attach_restore(a);           /* the session's screen is drawn on a terminal as it was at first */
        if (end == CF_ATTACH_BEHIND)
            pause_short(a, behind++);
        if (cf_tty_raw(&a->tty) < 0)
            return CF_ATTACH_HUNG_UP;
        if (cf_attach_open(a) < 0)
            return a->x.answered_error ? CF_ATTACH_REFUSED : CF_ATTACH_LOST;
        if (a->untaken)
            cf_buf_putc(&a->out, '\a');
        a->untaken = false;
    }
}

static void tell(const char *id, const char *words, const char *more)
{
    fprintf(stderr, "\ncurfew: %s %s%s%s\n", words, id, *more ? ": " : "", more);
}

/* The terminal is as it was. */
static int result(struct cf_attach *a, enum cf_attach_end end)
{
    char lost[300];

    snprintf(lost, sizeof lost, "the session may go on; curfew attach %s comes back", a->id);
    switch (end) {
    case CF_ATTACH_DETACHED:
        tell(a->id, "detached from", a->untaken ? "what was typed last is lost, since the session did not take it in time" : "");
        return 0;
    case CF_ATTACH_ENDED:
        tell(a->id, "the session has ended:", a->words.data ? a->words.data : "");
        return 0;
    case CF_ATTACH_LOST:
        tell(a->id, "lost the connection to", lost);
        break;
    case CF_ATTACH_CLOSED:
        tell(a->id, "the server has closed the connection to", a->words.data ? a->words.data : "");
        break;
    case CF_ATTACH_REFUSED:
        fputc('\n', stderr);
        return cf_cli_fail_exchange(a->cli, &a->x);
    case CF_ATTACH_HUNG_UP:
        a->signo = SIGHUP;
        break;
    case CF_ATTACH_RUNS:
    case CF_ATTACH_AGAIN:
    case CF_ATTACH_BEHIND:
    case CF_ATTACH_SIGNAL:
        break;
    }
    return CF_EXIT_OWN;
}

static int attach(struct cf_attach *a)
{
    enum cf_attach_end end;
    struct cf_error error;
    sigset_t old;
    int status;
    CF_FD_AUTO signal_fd = -1;

    if (cf_attach_open(a) < 0)
        return cf_cli_fail_exchange(a->cli, &a->x);
    a->signal_fd = signal_fd = signals_take(&old);
    if (signal_fd < 0 || cf_tty_raw(&a->tty) < 0) {
        cf_error_set(&error, CF_E_SYSTEM, NULL, "the terminal cannot be used: %s", strerror(errno));
        status = cf_cli_fail(a->cli, &error);
    } else {
        end = show(a);
        cf_attach_restore(a);
        status = result(a, end);
    }
    cf_signals_release(&old, a->signo);
    return status;
}

int cf_verb_attach(struct cf_cli *cli)
{
    const char *keys = cf_opts_own(cli, "detach-keys");
    struct cf_attach a;
    int status;

    cf_attach_init(&a, cli, cli->words[0]);
    a.read_only = cf_opts_own(cli, "read-only") != NULL;
    if (cf_keys_parse(&a.keys, keys ? keys : DETACH_KEYS) < 0)
        return cf_cli_usage(cli, "--detach-keys must be up to %d keys such as " DETACH_KEYS " or none, not \"%s\"",
                            CF_KEYS_MAX, keys);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cf_cli_usage(cli, "standard input and output must be a terminal; curfew input %s writes to the session, "
                            "and curfew output %s --follow shows it", a.id, a.id);
    cli->own_failures = true;
    if ((status = cf_cli_connect(cli)) == 0)
        status = attach(&a);
    cf_attach_free(&a);
    return status;
}
