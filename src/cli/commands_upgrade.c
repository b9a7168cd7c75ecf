/* commands_upgrade.c: curfew upgrade. */
#include "cli/cli.h"

#include "cli/request.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* From one look to the next, and for all of them: a server's drain, and the keeper's patience with the fresh one and the old one. */
#define LOOK_MS 50
#define WAIT_MS 120000

/* What is known of the server; pid 0: none answers, as happens on the way from one to the next. */
struct seen {
    long long pid;
    char version[32];
    bool done;                          /* it is what an upgrade brought */
};

static void look(struct cf_cli *cli, struct seen *ret)
{
    struct cf_exchange x;
    const char *version, *outcome;

    *ret = (struct seen){ 0 };
    cf_request_make(cli, CF_OP_server, NULL, 0, NULL, &x);
    if (cf_cli_connect(cli) == 0)
        cf_client_perform(cli->client, &x, 1, -1);
    if (x.data != NULL) {
        version = json_string_value(json_object_get(x.data, "version"));
        outcome = json_string_value(json_object_get(x.data, "upgrade"));
        ret->pid = json_integer_value(json_object_get(x.data, "pid"));
        ret->done = outcome != NULL && strcmp(outcome, "done") == 0;
        snprintf(ret->version, sizeof ret->version, "%s", version != NULL ? version : "-");
    }
    cf_exchange_free(&x);
}

static void wait_for_another(struct cf_cli *cli, const struct seen *old, struct seen *ret)
{
    const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

    ret->pid = 0;
    for (int i = 0; i < WAIT_MS / LOOK_MS && (ret->pid == 0 || ret->pid == old->pid); i++) {
        nanosleep(&pause, NULL);
        look(cli, ret);
    }
}

static int tell(struct cf_cli *cli, const struct seen *old, const struct seen *now)
{
    struct cf_error error;

    if (now->pid == 0 || now->pid == old->pid)
        cf_error_set(&error, CF_E_UNAVAILABLE, NULL, "no other server has come within %d s; the keeper's log says why", WAIT_MS / 1000);
    else if (!now->done)
        cf_error_set(&error, CF_E_UNAVAILABLE, NULL, "the fresh server did not serve, and the old one goes on (pid %lld); the keeper's log says why",
                     now->pid);
    else {
        if (cli->json)
            cf_buf_printf(&cli->out, "{\"version\":\"%s\",\"pid\":%lld,\"was\":{\"version\":\"%s\",\"pid\":%lld}}\n", now->version, now->pid,
                          old->version, old->pid);
        else
            cf_buf_printf(&cli->out, "%s (pid %lld) -> %s (pid %lld)\n", old->version, old->pid, now->version, now->pid);
        return 0;
    }
    return cf_cli_fail(cli, &error);
}

int cf_verb_upgrade(struct cf_cli *cli)
{
    struct cf_exchange x;
    struct seen old, now;
    int status;

    look(cli, &old);
    cf_request_make(cli, CF_OP_upgrade, NULL, 0, NULL, &x);
    status = cf_cli_connect(cli);
    if (status == 0) {
        cf_client_perform(cli->client, &x, 1, -1);
        if (x.error.code < 0)
            status = cf_cli_fail_exchange(cli, &x);
    }
    cf_exchange_free(&x);
    if (status != 0)
        return status;
    wait_for_another(cli, &old, &now);
    return tell(cli, &old, &now);
}
