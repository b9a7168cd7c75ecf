/* attach_loop.c: what happens between our terminal and the session's. */
#include "cli/attach.h"

#include "base/clock.h"
#include "cli/out.h"
#include "cli/signals.h"
#include "cli/table.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IN_BYTES 4096
/* Nothing is read from our terminal while more waits for the server; so much that the keys that detach are still read
 * behind what somebody has pasted and a program does not read. */
#define IN_QUEUED ((size_t)32 << 20)
#define HOLD_NS CF_NS_PER_S                 /* the next key of the sequence has to come within this */
#define SILENCE_NS (90 * CF_NS_PER_S)       /* the server pings every 30 s */
#define GOODBYE_NS (3 * CF_NS_PER_S)        /* while nothing is taken */
#define LEAVE_NS (10 * CF_NS_PER_S)         /* in all */

static void finish(struct cf_attach *a, enum cf_attach_end end)
{
    if (a->end == CF_ATTACH_RUNS)
        a->end = end;
}

static void send_size(struct cf_attach *a)
{
    char text[80];
    int cols, rows;

    if (a->read_only)
        return;
    cf_tty_size(&cols, &rows);
    snprintf(text, sizeof text, "{\"type\":\"resize\",\"cols\":%d,\"rows\":%d}", cols, rows);
    if (!cf_web_send(a->web, false, text, strlen(text)))
        finish(a, CF_ATTACH_LOST);
}

static void type(struct cf_attach *a, const struct cf_buf *typed)
{
    if (typed->len > 0 && !a->read_only && !cf_web_send(a->web, true, typed->data, typed->len))
        finish(a, CF_ATTACH_LOST);
}

static void read_keys(struct cf_attach *a, int64_t now_ns)
{
    char data[IN_BYTES];
    struct cf_buf typed;
    ssize_t got = read(STDIN_FILENO, data, sizeof data);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        finish(a, CF_ATTACH_HUNG_UP);
        return;
    }
    cf_buf_init(&typed, 2 * IN_BYTES + CF_KEYS_MAX * 2 * CF_KEYS_TOKEN);
    if (cf_keys_feed(&a->keys, data, (size_t)got, &typed) ||
        (a->read_only && cf_keys_feed(&a->leave, data, (size_t)got, &typed)))
        finish(a, CF_ATTACH_DETACHED);
    else
        a->release_ns = cf_keys_holds(&a->keys) ? now_ns + HOLD_NS : 0;
    type(a, &typed);
    cf_buf_free(&typed);
}

static void release_keys(struct cf_attach *a)
{
    struct cf_buf typed;

    cf_buf_init(&typed, CF_KEYS_MAX * 2 * CF_KEYS_TOKEN);
    cf_keys_release(&a->keys, &typed);
    a->release_ns = 0;
    type(a, &typed);
    cf_buf_free(&typed);
}

static void write_out(struct cf_attach *a)
{
    ssize_t wrote;

    while (cf_attach_waiting(a) > 0) {
        wrote = cf_out_try(STDOUT_FILENO, a->out.data + a->out_at, cf_attach_waiting(a));
        if (wrote == 0)
            return;
        if (wrote < 0) {
            finish(a, CF_ATTACH_HUNG_UP);
            a->out_at = a->out.len;
            return;
        }
        cf_modes_feed(&a->modes, a->out.data + a->out_at, (size_t)wrote);
        a->out_at += (size_t)wrote;
    }
    if (cf_attach_waiting(a) == 0) {
        cf_buf_reset(&a->out);
        a->out_at = 0;
        cf_web_pause(a->web, false);
    }
}

/* A key cannot stop us, since all keys go to the session; but another program can. */
static void stop_self(struct cf_attach *a)
{
    cf_attach_restore(a);
    kill(getpid(), SIGSTOP);
    a->resumed = true;
    finish(a, CF_ATTACH_AGAIN);
}

static void read_signal(struct cf_attach *a)
{
    int signo = cf_signals_read(a->signal_fd);

    if (signo == SIGWINCH) {
        send_size(a);
    } else if (signo == SIGTSTP) {
        stop_self(a);
    } else if (signo == SIGCONT && a->resumed) {
        a->resumed = false;
    } else if (signo == SIGCONT) {
        finish(a, CF_ATTACH_AGAIN);     /* whoever had the terminal meanwhile has set it anew */
    } else if (signo) {
        a->signo = signo;
        finish(a, CF_ATTACH_SIGNAL);
    }
}

static int timeout_ms(const struct cf_attach *a, int64_t now_ns)
{
    int64_t until_ns = cf_web_heard_ns(a->web) + SILENCE_NS, left_ns;

    if (cf_web_ready(a->web))
        return 0;
    if (a->release_ns && a->release_ns < until_ns)
        until_ns = a->release_ns;
    left_ns = until_ns - now_ns;
    return left_ns > 0 ? (int)(left_ns / CF_NS_PER_MS) + 1 : 0;
}

static void on_over(struct cf_attach *a)
{
    switch (cf_web_code(a->web)) {
    case CF_WEB_NORMAL:
        finish(a, CF_ATTACH_ENDED);
        break;
    case CF_WEB_BEHIND:
        finish(a, CF_ATTACH_BEHIND);
        break;
    case CF_WEB_LOST:
        finish(a, CF_ATTACH_LOST);
        break;
    default:
        cf_buf_reset(&a->words);
        cf_table_safe(&a->words, cf_web_reason(a->web), strlen(cf_web_reason(a->web)), false);
        finish(a, CF_ATTACH_CLOSED);
    }
}

static void turn(struct cf_attach *a)
{
    int64_t now_ns = cf_clock_now().mono_ns;
    bool full = cf_web_queued(a->web) > IN_QUEUED;
    struct pollfd fds[] = {
        {.fd = cf_web_fd(a->web), .events = cf_web_wants(a->web)},
        {.fd = a->signal_fd, .events = POLLIN},
        {.fd = full ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = cf_attach_waiting(a) > 0 ? STDOUT_FILENO : -1, .events = POLLOUT},
    };

    poll(fds, sizeof fds / sizeof *fds, timeout_ms(a, now_ns));
    now_ns = cf_clock_now().mono_ns;
    if (fds[1].revents)
        read_signal(a);
    if (fds[2].revents && a->end == CF_ATTACH_RUNS)
        read_keys(a, now_ns);
    if (a->release_ns && now_ns >= a->release_ns)
        release_keys(a);
    if (a->end == CF_ATTACH_RUNS && !cf_web_turn(a->web))
        on_over(a);
    write_out(a);
    if (cf_attach_waiting(a) == 0 && now_ns - cf_web_heard_ns(a->web) > SILENCE_NS)
        finish(a, CF_ATTACH_LOST);
}

/* Typed keys that are still here are sent before the goodbye: a close would get ahead of them. */
static bool say_goodbye(struct cf_attach *a, bool *said)
{
    if (!*said && cf_web_queued(a->web) == 0) {
        cf_web_close(a->web);
        *said = true;
    }
    return cf_web_turn(a->web);
}

/* The server hears that we go, and answers when it has typed all that it was sent before. */
static void leave(struct cf_attach *a)
{
    int64_t now_ns = cf_clock_now().mono_ns, most_ns = now_ns + LEAVE_NS, until_ns = now_ns + GOODBYE_NS;
    size_t queued = cf_web_queued(a->web);
    bool said = false;

    cf_web_pause(a->web, false);
    while (say_goodbye(a, &said)) {
        struct pollfd fd = {.fd = cf_web_fd(a->web), .events = cf_web_wants(a->web)};

        now_ns = cf_clock_now().mono_ns;
        if (cf_web_queued(a->web) < queued)
            until_ns = now_ns + GOODBYE_NS;
        if (until_ns > most_ns)
            until_ns = most_ns;
        queued = cf_web_queued(a->web);
        if (now_ns >= until_ns) {
            a->untaken = true;
            return;
        }
        poll(&fd, 1, cf_web_ready(a->web) ? 0 : (int)((until_ns - now_ns) / CF_NS_PER_MS) + 1);
    }
    a->untaken = !said || cf_web_code(a->web) != CF_WEB_NORMAL;
}

/* What the session printed last is shown before we go. */
static void show_rest(struct cf_attach *a)
{
    int64_t until_ns = cf_clock_now().mono_ns + GOODBYE_NS, left_ns;

    while (cf_attach_waiting(a) > 0 && (left_ns = until_ns - cf_clock_now().mono_ns) > 0) {
        poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, (int)(left_ns / CF_NS_PER_MS) + 1);
        write_out(a);
    }
}

static void goodbye(struct cf_attach *a)
{
    switch (a->end) {
    case CF_ATTACH_DETACHED:
    case CF_ATTACH_SIGNAL:
    case CF_ATTACH_AGAIN:
    case CF_ATTACH_HUNG_UP:
        leave(a);
        break;
    case CF_ATTACH_ENDED:
        show_rest(a);
        break;
    default:
        a->untaken = cf_web_queued(a->web) > 0;
    }
}

enum cf_attach_end cf_attach_show(struct cf_attach *a)
{
    while (a->end == CF_ATTACH_RUNS)
        turn(a);
    goodbye(a);
    cf_web_free(&a->web);
    cf_buf_reset(&a->out);
    a->out_at = 0;
    return a->end;
}
