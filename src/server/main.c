/* main.c: curfew-server: parse, build, run, tear down.  Started by curfew-keeper, whose wire is descriptor 3. */
#include "base/environment.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/http.h"
#include "server/identity.h"
#include "server/recover.h"
#include "server/server.h"
#include "server/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* The keeper has shown every complaint already when it read the same settings. */
static int load(struct cf_server *server, int argc, char **argv)
{
    struct cf_settings_args args;
    struct cf_complaints complaints;
    cf_complaints_init(&complaints);
    cf_settings_load(&server->settings, argc - 1, argv + 1, environ, &args, &complaints);
    if (complaints.count == 0)
        server->agents = cf_agents_read_file(args.file, &complaints);
    int failed = complaints.count > 0;
    if (failed)
        fputs(complaints.lines.data, stderr);
    cf_complaints_free(&complaints);
    return failed ? EX_USAGE : 0;
}

int main(int argc, char **argv)
{
    struct cf_server server = { .workspace_fd = -1, .host.args.fd = -1 };
    struct cf_error error = { 0 };
    if (cf_environment_hide() != 0) {
        perror("curfew-server: cannot hide the environment");
        return EX_OSERR;
    }
    cf_log_init("server", CF_LOG_INFO);
    bool settled;
    int status = 0, code = cf_recover_open(&server, &settled, &error);
    /* One that comes after another has that one's settings: a file that was changed since is for the next start of all. */
    if (code == 0 && !settled && (status = load(&server, argc, argv)) != 0)
        return status;
    cf_log_init("server", cf_setup_log_level(&server.settings));
    if (code == 0)
        code = cf_setup(&server, environ, &error);
    if (code == 0) {
        if (cf_link_welcome(server.link)->servers == 0)
            cf_setup_banner(&server);
        event_base_dispatch(server.loop);
        status = server.exit_status;
    } else {
        cf_log(CF_LOG_ERROR, "cannot start: %s", error.text);
        status = cf_error_exit(code);
        if (server.link != NULL && cf_link_welcome(server.link)->servers > 0)
            _exit(status);              /* what is here is the next server's: nothing of it may be taken down */
    }
    cf_teardown(&server);
    return status;
}
