/* test_settings.c: the settings table, from file, environment and flags. */
#include "base/clock.h"
#include "base/settings.h"
#include "base/settings_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define S(seconds) ((seconds) * CF_NS_PER_S)

static struct cf_settings settings;
static struct cf_complaints complaints;

static int setup(void **state)
{
    cf_settings_default(&settings);
    cf_complaints_init(&complaints);
    return 0;
}

static int teardown(void **state)
{
    cf_complaints_free(&complaints);
    return 0;
}

static void read_text(const char *text)
{
    cf_settings_read_text(&settings, "t.conf", text, strlen(text), &complaints);
}

static void expect(unsigned count, const char *text)
{
    if (complaints.count != count || strstr(cf_complaints_text(&complaints), text) == NULL)
        fail_msg("expected %u complaints with \"%s\", got %u:\n%s", count, text, complaints.count,
                 cf_complaints_text(&complaints));
}

static void expect_none(void)
{
    expect(0, "");
}

/* A file of which the last line must fail with a message of that beginning, and change nothing. */
static void must_fail(const char *file, const char *message)
{
    struct cf_settings before;

    cf_complaints_free(&complaints);
    cf_settings_default(&settings);
    cf_settings_default(&before);
    read_text(file);
    expect(1, message);
    assert_memory_equal(&settings, &before, sizeof before);
}

/* An environment or arguments that may be written to, as main has them. */
struct words {
    char text[24][128];
    char *list[25];
};
static struct words env_words, arg_words;

static char **words(struct words *w, const char *const *from)
{
    size_t n = 0;

    for (; from[n] != NULL; n++) {
        assert_in_range(n, 0, 23);
        (void)snprintf(w->text[n], sizeof w->text[n], "%s", from[n]);
        w->list[n] = w->text[n];
    }
    w->list[n] = NULL;
    return w->list;
}

/* the table */

static void test_table(void **state)
{
    const struct cf_setting *row, *other;
    struct cf_settings copy;
    struct cf_error error;
    char range[CF_SETTING_RANGE_BYTES];

    assert_int_equal(settings.session_timeout, S(3600));
    assert_int_equal(settings.cleanup_interval, S(300));
    assert_true(settings.auto_cleanup_enabled);
    assert_int_equal(settings.max_sessions_per_workspace, 5);
    assert_int_equal(settings.port, 8000);
    assert_string_equal(settings.host, "127.0.0.1");
    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        assert_ptr_equal(cf_setting_find(row->name), row);
        copy = settings;
        assert_int_equal(cf_settings_set(&copy, row->name, row->text_default, &error), 0);
        assert_memory_equal(&copy, &settings, sizeof copy);
        assert_in_range(strlen(cf_setting_range(row, range, sizeof range)), 5, sizeof range - 2);
        assert_true(strlen(row->help) > 0);
        for (size_t j = 0; j < i && (other = cf_setting_row(j)) != NULL; j++)
            assert_string_not_equal(row->name, other->name);
    }
    assert_null(cf_setting_row(CF_SETTING_ROWS));
    assert_null(cf_setting_row(SIZE_MAX));
    assert_null(cf_setting_find("max_idle_time_secs"));
    assert_null(cf_setting_find(""));
}

static void set_number(const struct cf_setting *row, int64_t number, bool allowed)
{
    struct cf_error error;
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, number);
    int rc = cf_settings_set(&settings, row->name, text, &error);
    assert_int_equal(rc, allowed ? 0 : CF_E_INVALID);
    if (allowed)
        return;
    assert_string_equal(error.field, row->name);
    assert_non_null(strstr(error.text, row->name));
    (void)snprintf(text, sizeof text, "%" PRId64 " to %" PRId64, row->min, row->max);
    assert_non_null(strstr(error.text, text));
}

static void test_bounds(void **state)
{
    const struct cf_setting *row;

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        if (row->type != CF_SETTING_INT && row->type != CF_SETTING_BYTES && row->type != CF_SETTING_DURATION)
            continue;
        set_number(row, row->min, true);
        set_number(row, row->max, true);
        set_number(row, row->min - 1, false);
        set_number(row, row->max + 1, false);
        set_number(row, INT64_MAX, false);
        set_number(row, INT64_MIN, false);
    }
}

static void test_timeout_minimum(void **state)
{
    struct cf_error error;

    assert_int_equal(cf_settings_set(&settings, "session_timeout", "0.999", &error), CF_E_INVALID);
    assert_string_equal(error.text, "session_timeout must be a duration from 1 to 315360000 seconds, not 0.999");
    assert_int_equal(cf_settings_set(&settings, "cleanup_interval", "0", &error), CF_E_INVALID);
    assert_int_equal(settings.session_timeout, S(3600));
    assert_int_equal(settings.cleanup_interval, S(300));
    assert_int_equal(cf_settings_set(&settings, "session_timeout", "1", &error), 0);
    assert_int_equal(cf_settings_set(&settings, "cleanup_interval", "1.5", &error), 0);
    assert_int_equal(settings.session_timeout, S(1));
    assert_int_equal(settings.cleanup_interval, S(3) / 2);
}

static void test_set_refused(void **state)
{
    static const struct { const char *name, *text; } cases[] = {
        { "session_timeout", "nan" }, { "session_timeout", "inf" }, { "session_timeout", "-5" },
        { "session_timeout", "" }, { "session_timeout", "1e300" }, { "session_timeout", "10 m" },
        { "session_timeout", "99999999999999999999h" },
        { "max_sessions", "" }, { "max_sessions", "5.0" }, { "max_sessions", " 5" }, { "max_sessions", "5x" },
        { "max_sessions", "-5" }, { "max_sessions", "+" }, { "max_sessions", "9223372036854775808" },
        { "max_sessions", "0x10" }, { "max_sessions", "1K" },
        { "max_body_bytes", "4T" }, { "max_body_bytes", "K" }, { "max_body_bytes", "4KiB" },
        { "max_body_bytes", "-1M" },
        { "max_body_bytes", "9223372036854775807G" }, { "max_body_bytes", "1.5M" },
        { "token_required", "" }, { "token_required", "TRUE" }, { "token_required", "2" },
        { "token_required", "true 1" },
        { "host", "" }, { "host", "a\nb" }, { "host", "a\x7f" }, { "host", "\xff" }, { "host", "\xc3" },
        { "log_level", "loud" }, { "log_level", "info debug" }, { "log_level", "Info" }, { "log_level", "inf" },
        { "containment", "cgroup+" }, { "containment", "none" },
        { "allowed_hosts", "," }, { "allowed_hosts", "a,,b" }, { "allowed_hosts", "a," }, { "allowed_hosts", " " },
        { "allowed_hosts", "a,b\x01" },
    };
    struct cf_settings before = settings;
    struct cf_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cf_settings_set(&settings, cases[i].name, cases[i].text, &error) != CF_E_INVALID)
            fail_msg("%s took \"%s\"", cases[i].name, cases[i].text);
        assert_string_equal(error.field, cases[i].name);
        assert_non_null(strstr(error.text, " must be "));
        assert_memory_equal(&settings, &before, sizeof before);
    }
    assert_int_equal(cf_settings_set(&settings, "no_such", "1", &error), CF_E_UNKNOWN_FIELD);
    assert_string_equal(error.field, "no_such");
    assert_int_equal(cf_settings_set(&settings, "max_sessions", "0", NULL), CF_E_INVALID);
}

static void test_set_taken(void **state)
{
    static const char *const yes[] = { "true", "1", "yes", "on" }, *const no[] = { "false", "0", "no", "off" };

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cf_settings_set(&settings, "token_required", yes[i], NULL), 0);
        assert_true(settings.token_required);
        assert_int_equal(cf_settings_set(&settings, "token_required", no[i], NULL), 0);
        assert_false(settings.token_required);
    }
    assert_int_equal(cf_settings_set(&settings, "max_body_bytes", "4M", NULL), 0);
    assert_int_equal(settings.max_body_bytes, 4194304);
    assert_int_equal(cf_settings_set(&settings, "max_body_bytes", "64k", NULL), 0);
    assert_int_equal(settings.max_body_bytes, 65536);
    assert_int_equal(cf_settings_set(&settings, "session_timeout", "1h30m", NULL), 0);
    assert_int_equal(settings.session_timeout, S(5400));
    assert_int_equal(cf_settings_set(&settings, "allowed_hosts", " a , b.example,c ", NULL), 0);
    assert_string_equal(settings.allowed_hosts, "a,b.example,c");
    assert_int_equal(cf_settings_set(&settings, "allowed_hosts", "", NULL), 0);
    assert_string_equal(settings.allowed_hosts, "");
    assert_int_equal(cf_settings_set(&settings, "containment", "cgroup+pidns", NULL), 0);
    assert_int_equal(cf_settings_set(&settings, "host", "shorter", NULL), 0);
    assert_int_equal(cf_settings_set(&settings, "host", settings.host, NULL), 0);
    assert_string_equal(settings.host, "shorter");
}

static void test_text_length(void **state)
{
    char text[3000];

    memset(text, 'x', sizeof text);
    text[255] = '\0';
    assert_int_equal(cf_settings_set(&settings, "host", text, NULL), 0);
    assert_string_equal(settings.host, text);
    text[255] = 'x';
    text[256] = '\0';
    assert_int_equal(cf_settings_set(&settings, "host", text, NULL), CF_E_INVALID);
    text[256] = 'x';
    text[2047] = '\0';
    assert_int_equal(cf_settings_set(&settings, "allowed_hosts", text, NULL), 0);
    text[2047] = 'x';
    text[2999] = '\0';
    assert_int_equal(cf_settings_set(&settings, "allowed_hosts", text, NULL), CF_E_INVALID);
}

/* the file */

static void test_sample(void **state)
{
    settings.max_sessions = 1;
    settings.cleanup_on_shutdown = false;
    settings.max_session_age = 1;
    read_text("[session]\n"
              "cleanup_interval_secs = 60\n"
              "max_idle_time_secs = 3600\n"
              "max_session_age_secs = 86400\n"
              "max_sessions = 1000\n"
              "cleanup_on_shutdown = true\n");
    expect_none();
    assert_int_equal(settings.cleanup_interval, S(60));
    assert_int_equal(settings.session_timeout, S(3600));
    assert_int_equal(settings.max_session_age, S(86400));
    assert_int_equal(settings.max_sessions, 1000);
    assert_true(settings.cleanup_on_shutdown);
}

static void test_file_forms(void **state)
{
    read_text("\xef\xbb\xbf# a comment, and CRLF\r\n"
              "  [ server ]\t# where\r\n"
              "host=\"\\u0061\\\"\\\\\\U000000e9#\"#x\r\n"
              "\tport\t=\t8_080 \r\n"
              "token_required = true# yes\r\n"
              "socket = 'C:\\none'\r\n"
              "allowed_hosts = [ \"a\" , 'b', ] # list\r\n"
              "allowed_origins = \"x, y\"\r\n"
              "max_body_bytes = \"64K\"\r\n"
              "max_header_bytes = +2048\r\n"
              "header_timeout = 1.5\r\n"
              "body_timeout = 6e1\r\n"
              "keepalive_timeout = \"10m\"\r\n"
              "\r\n"
              "[exec]\n"
              "env_pass = []\n"
              "containment = 'pidns'\n"
              "[session]\n"
              "grace = 0");
    expect_none();
    assert_string_equal(settings.host, "a\"\\\xc3\xa9#");
    assert_int_equal(settings.port, 8080);
    assert_true(settings.token_required);
    assert_string_equal(settings.socket, "C:\\none");
    assert_string_equal(settings.allowed_hosts, "a,b");
    assert_string_equal(settings.allowed_origins, "x,y");
    assert_int_equal(settings.max_body_bytes, 65536);
    assert_int_equal(settings.max_header_bytes, 2048);
    assert_int_equal(settings.header_timeout, S(3) / 2);
    assert_int_equal(settings.body_timeout, S(60));
    assert_int_equal(settings.keepalive_timeout, S(600));
    assert_string_equal(settings.env_pass, "");
    assert_string_equal(settings.containment, "pidns");
    assert_int_equal(settings.grace, 0);
}

static void test_file_bad_values(void **state)
{
    must_fail("[server]\nport = 65536\n", "t.conf:2: port must be a whole number from 0 to 65535, not 65536\n");
    must_fail("[server]\nport = -1\n", "t.conf:2: port must be a whole number from 0 to 65535, not -1\n");
    must_fail("[server]\nport = \"80\"\n", "t.conf:2: port must be a whole number from 0 to 65535, not text in quotes");
    must_fail("[server]\nport = 80.0\n", "t.conf:2: port must be a whole number from 0 to 65535, not a number with");
    must_fail("[server]\nport = true\n", "t.conf:2: port must be");
    must_fail("[server]\nport = 080\n", "this is not a number");
    must_fail("[server]\nport = 8__0\n", "this is not a number");
    must_fail("[server]\nport = 80_\n", "this is not a number");
    must_fail("[server]\nport = 0x50\n", "this is not a number");
    must_fail("[server]\nport = 80 81\n", "there is text after the value");
    must_fail("[server]\nport = \n", "t.conf:2: port must be a whole number from 0 to 65535: the value is missing");
    must_fail("[server]\nport = # 1\n", "the value is missing");
    must_fail("[server]\nport\n", "t.conf:2: port must be a whole number from 0 to 65535: there is no = after it");
    must_fail("[server]\nserver.port = 1\n", "t.conf:2: server: there is no such key");
    must_fail("[server]\nheader_timeout = nan\n", "header_timeout must be a duration from 1 to 3600 seconds, not");
    must_fail("[server]\nheader_timeout = inf\n", "header_timeout must be a duration from 1 to 3600 seconds, not");
    must_fail("[server]\nheader_timeout = -inf\n", "header_timeout must be a duration from 1 to 3600 seconds, not");
    must_fail("[server]\nheader_timeout = 0.5\n", "header_timeout must be a duration from 1 to 3600 seconds, not 0.5");
    must_fail("[server]\nheader_timeout = 1e999\n", "not 1e999");
    must_fail("[server]\nheader_timeout = 5.\n", "this is not a number");
    must_fail("[server]\nheader_timeout = .5\n", "this is not a number");
    must_fail("[server]\nheader_timeout = 10m\n", "this is not a number; text needs quotes");
    must_fail("[server]\nheader_timeout = \"10m\\u0000\"\n", "not \"10m\\x00\"");
    must_fail("[server]\nmax_body_bytes = 5e6\n", "must be a number of bytes from 1024 to 268435456, not");
    must_fail("[server]\nmax_body_bytes = 99999999999999999999\n", "not 99999999999999999999");
    must_fail("[server]\ntoken_required = 1\n", "token_required must be true or false, not a whole number");
    must_fail("[server]\ntoken_required = \"true\"\n", "token_required must be true or false, not text in quotes");
    must_fail("[server]\ntoken_required = True\n", "text needs quotes");
}

static void test_file_bad_strings(void **state)
{
    must_fail("[server]\nhost = localhost\n", "t.conf:2: host must be text of 1 to 255 bytes");
    must_fail("[server]\nhost = \"x\n", "the text does not end on its line");
    must_fail("[server]\nhost = 'x\"\n", "the text does not end on its line");
    must_fail("[server]\nhost = \"x\\\"\n", "the text does not end on its line");
    must_fail("[server]\nhost = \"\"\"x\"\"\"\n", "there is text after the value");
    must_fail("[server]\nhost = \"\\q\"\n", "an escape that does not exist");
    must_fail("[server]\nhost = \"\\ud800\"\n", "an escape that does not exist");
    must_fail("[server]\nhost = \"\\U00110000\"\n", "an escape that does not exist");
    must_fail("[server]\nhost = \"\\u12\"\n", "an escape that does not exist");
    must_fail("[server]\nhost = \"\\", "an escape that does not exist");
    must_fail("[server]\nhost = \"\"\n", "host must be text of 1 to 255 bytes");
    must_fail("[server]\nhost = \"\\u0000\"\n", "host must be text of 1 to 255 bytes");
    must_fail("[server]\nhost = \"a\\nb\"\n", "host must be text of 1 to 255 bytes");
    must_fail("[server]\nhost = \"\xff\"\n", "t.conf:2: host: byte 0xff in column 9 is not UTF-8");
    must_fail("[server]\nhost = \"\x1b\"\n", "t.conf:2: host: byte 0x1b in column 9 is a control character");
    must_fail("[server]\n# \x01\n", "t.conf:2: byte 0x01 in column 3 is a control character");
    must_fail("[server]\nport = 1\r2\n", "t.conf:2: port: byte 0x0d in column 9 is a control character");
    must_fail("[server]\nlog_level = \"loud\"\n", "log_level must be one of error, warning, info, debug, not \"loud\"");
    must_fail("[exec]\ncontainment = \"jail\"\n", "must be one of auto, cgroup+pidns, cgroup, pidns, subreaper, not");
    must_fail("[server]\nallowed_hosts = [\"a\"\n", "the list does not end on its line");
    must_fail("[server]\nallowed_hosts = [\n", "the list does not end on its line");
    must_fail("[server]\nallowed_hosts = [\"a\" \"b\"]\n", "a comma is missing");
    must_fail("[server]\nallowed_hosts = [,]\n", "a list holds only text in quotes");
    must_fail("[server]\nallowed_hosts = [1]\n", "a list holds only text in quotes");
    must_fail("[server]\nallowed_hosts = [\"a,b\"]\n", "empty or has a comma");
    must_fail("[server]\nallowed_hosts = [\"\"]\n", "empty or has a comma");
    must_fail("[server]\nhost = [\"a\"]\n", "in UTF-8 without control characters, not a list");
}

static void test_file_nul(void **state)
{
    static const char text[] = "[server]\nhost = \"a\0b\"\nport = 81\n";

    cf_settings_read_text(&settings, "t.conf", text, sizeof text - 1, &complaints);
    expect(1, "t.conf:2: host: byte 0x00 in column 10 is a control character\n");
    assert_string_equal(settings.host, "127.0.0.1");
    assert_int_equal(settings.port, 81);
}

static void test_file_structure(void **state)
{
    must_fail("port = 1\n", "t.conf:1: port: no section before it; it belongs below [server]\n");
    must_fail("[session]\nport = 1\n", "t.conf:2: port: not a key of [session]; it belongs below [server]\n");
    must_fail("[server]\nprot = 1\n", "t.conf:2: prot: there is no such key; did you mean port in [server]?\n");
    must_fail("[server]\nzzzzzz = 1\n", "t.conf:2: zzzzzz: there is no such key\n");
    must_fail("[sesion]\nmax_sessions = 1\nrubbish = 2\n", "t.conf:1: [sesion]: there is no such section");
    must_fail("[server\nport = 1\n", "t.conf:1: a section is written [name]");
    must_fail("[]\n", "t.conf:1: a section is written [name]");
    must_fail("[[server]]\n", "t.conf:1: a section is written [name]");
    must_fail("[server] port = 1\n", "t.conf:1: a section is written [name]");
    must_fail("[server]\n\"port\" = 1\n", "t.conf:2: expected [section] or key = value");
    must_fail("[server]\n= 1\n", "t.conf:2: expected [section] or key = value");
    must_fail("[server]\n[server]\n", "t.conf:2: [server]: this section is in line 1 already");
    must_fail("[server]\n[session]\n[exec]\n[session]\n", "t.conf:4: [session]: this section is in line 2 already");
    must_fail("[server]\nport = 1\nport = 2\n", "t.conf:3: port: set in line 2 already");
    must_fail("[session]\nsession_timeout = 5\nmax_idle_time = 6\n",
              "t.conf:3: max_idle_time, another name of session_timeout: set in line 2 already");
    must_fail("[session]\nmax_idle_time_secs = 5\nsession_timeout = 6\n", "t.conf:3: session_timeout: set in line 2");
}

static void test_file_long_line(void **state)
{
    enum { len = 20000 };
    static char text[len + 64];
    int at = sprintf(text, "[server]\nhost = \"");
    memset(text + at, 'x', len);
    strcpy(text + at + len, "\"\nport = 81\n");
    read_text(text);
    expect(1, "t.conf:2: host: the line has 20009 bytes, 8192 are allowed\n");
    assert_int_equal(settings.port, 81);
}

static void test_file_all_at_once(void **state)
{
    read_text("[server]\n"
              "port = 65536\n"
              "prot = 1\n"
              "host = x\n"
              "max_connections = 7\n"
              "\n"
              "[session]\n"
              "grace = -1\n"
              "max_sessions = 5 5\n"
              "[nope]\n"
              "[exec]\n"
              "user = 'x'\n");
    expect(6, "t.conf:2: port ");
    expect(6, "\nt.conf:3: prot");
    expect(6, "\nt.conf:4: host ");
    expect(6, "\nt.conf:8: grace ");
    expect(6, "\nt.conf:9: max_sessions ");
    expect(6, "\nt.conf:10: [nope]");
    assert_int_equal(settings.port, 8000);
    assert_int_equal(settings.max_connections, 7);
    assert_string_equal(settings.user, "x");
}

static void test_file_written_back(void **state)
{
    struct cf_settings written;
    struct cf_buf out;
    const struct cf_setting *row;
    const char *section = "";

    read_text("[server]\nhost = \"a\\\"\\\\\\u00e9\"\nallowed_hosts = ['a', 'b']\n[session]\ngrace = 0.25\n");
    expect_none();
    cf_buf_init(&out, 1 << 20);
    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        if (strcmp(section, row->section) != 0)
            cf_buf_printf(&out, "[%s]\n", section = row->section);
        cf_buf_printf(&out, "%s = ", row->name);
        cf_settings_value(&settings, row, &out);
        cf_buf_putc(&out, '\n');
    }
    assert_non_null(strstr(out.data, "\nallowed_hosts = [\"a\",\"b\"]\n"));
    assert_non_null(strstr(out.data, "\ngrace = 0.25\n"));
    assert_non_null(strstr(out.data, "\nsession_timeout = 3600\n"));
    written = settings;
    cf_settings_default(&settings);
    cf_settings_read_text(&settings, "again", out.data, out.len, &complaints);
    expect_none();
    assert_memory_equal(&settings, &written, sizeof written);
    cf_buf_free(&out);
}

static void test_file_unreadable(void **state)
{
    char path[] = "/tmp/curfew-test-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1024 * 1024 + 1), 0);
    cf_settings_read_file(&settings, path, &complaints);
    expect(1, ": larger than 1048576 bytes\n");
    close(fd);
    unlink(path);
    cf_settings_read_file(&settings, path, &complaints);
    expect(2, ": cannot be read: No such file");
    cf_settings_read_file(&settings, "/tmp", &complaints);
    expect(3, "/tmp: cannot be read: Is a directory");
}

/* the environment */

static void test_env(void **state)
{
    const char *env[] = { "SESSION_TIMEOUT=10m", "CLEANUP_INTERVAL=1m", "PORT=3000", "WORKSPACE_DIR=.", "HOME=/h",
                          NULL };
    char cwd[PATH_MAX];

    cf_settings_read_env(&settings, words(&env_words, env), &complaints);
    cf_settings_settle(&settings, words(&env_words, env), &complaints);
    expect_none();
    assert_int_equal(settings.session_timeout, S(600));
    assert_int_equal(settings.cleanup_interval, S(60));
    assert_int_equal(settings.port, 3000);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_string_equal(settings.workspace_dir, cwd);
}

static void test_env_rank(void **state)
{
    const char *env[] = { "PORT=3000", "CURFEW_PORT=4000", "CURFEW_SESSION_TIMEOUT=", "SESSION_TIMEOUT=5",
                          "CURFEW_GRACE=", "CURFEW_SOCKET=none", "CURFEW_CONFIG=/x", "CURFEW_URL=http://x",
                          "CURFEW_TOKEN=t", "CURFEW_TYPO=",
                          "CURFEW_TOKEN_REQUIRED=yes", "no equals sign", "=", "", NULL };

    cf_settings_read_env(&settings, words(&env_words, env), &complaints);
    expect_none();
    assert_int_equal(settings.port, 4000);
    assert_int_equal(settings.session_timeout, S(5));
    assert_int_equal(settings.grace, S(5));
    assert_string_equal(settings.socket, "none");
    assert_true(settings.token_required);
}

static void test_env_refused(void **state)
{
    const char *env[] = { "CURFEW_PROT=1", "SESSION_TIMEOUT=10x", "CURFEW_MAX_SESSIONS=0", "CURFEW_port=1",
                          "CURFEWX=1", NULL };
    struct cf_settings before = settings;

    cf_settings_read_env(&settings, words(&env_words, env), &complaints);
    expect(4, "environment: CURFEW_PROT: there is no such setting; did you mean CURFEW_PORT?\n");
    expect(4, "environment: SESSION_TIMEOUT must be a duration from 1 to 315360000 seconds, not 10x\n");
    expect(4, "environment: CURFEW_MAX_SESSIONS must be a whole number from 1 to 1000000, not 0\n");
    expect(4, "environment: CURFEW_port: there is no such setting; did you mean CURFEW_PORT?\n");
    assert_memory_equal(&settings, &before, sizeof before);
}

/* flags and rank */

static struct cf_settings_args load(const char *const *env, const char *const *args)
{
    struct cf_settings_args ret_args;
    char **argv = words(&arg_words, args);
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    cf_settings_load(&settings, argc, argv, words(&env_words, env), &ret_args, &complaints);
    return ret_args;
}

#define LOAD(env, ...) load(env, (const char *[]){ __VA_ARGS__, NULL })

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_rank(void **state)
{
    char path[] = "/tmp/curfew-test-XXXXXX", variable[64];
    const char *env[] = { "CURFEW_MAX_SESSIONS=20", "PORT=2000", variable, "HOME=/h", NULL };

    write_file(path, "[server]\nport = 1000\nmax_connections = 10\n[session]\nmax_sessions = 10\ntombstones = 10\n");
    variable[0] = '\0';
    LOAD(env, "--port", "3000", "--config", path);
    expect_none();
    assert_int_equal(settings.port, 3000);              /* flag over environment over file */
    assert_int_equal(settings.max_sessions, 20);        /* environment over file */
    assert_int_equal(settings.tombstones, 10);          /* file over default */
    assert_int_equal(settings.warm_pool, 2);            /* default */

    (void)snprintf(variable, sizeof variable, "CURFEW_CONFIG=%s", path);
    LOAD(env, "--max-sessions=30");
    expect_none();
    assert_int_equal(settings.port, 2000);
    assert_int_equal(settings.max_sessions, 30);
    assert_int_equal(settings.tombstones, 10);

    (void)snprintf(variable, sizeof variable, "CURFEW_CONFIG=/nowhere");
    struct cf_settings_args args = LOAD(env, "--config", path, "--check-config");
    expect_none();                                      /* --config over CURFEW_CONFIG */
    assert_true(args.check_only);
    assert_string_equal(args.config, path);
    assert_false(args.help);
    unlink(path);
}

static void test_flags(void **state)
{
    const char *env[] = { "HOME=/h", NULL };

    LOAD(env, "--token-required", "--no-auto-cleanup-enabled", "--cleanup-on-shutdown=off", "--grace=1.5",
         "--user=", "--max-body-bytes", "64K", "--allowed-hosts", "a, b", "--port", "1", "--port=2");
    expect_none();
    assert_true(settings.token_required);
    assert_false(settings.auto_cleanup_enabled);
    assert_false(settings.cleanup_on_shutdown);
    assert_int_equal(settings.grace, S(3) / 2);
    assert_int_equal(settings.max_body_bytes, 65536);
    assert_string_equal(settings.allowed_hosts, "a,b");
    assert_int_equal(settings.port, 2);

    struct cf_settings_args args = LOAD(env, "--help", "--port", "3");
    assert_true(args.help);
    args = LOAD(env, "-h");
    assert_true(args.help);
    LOAD(env, NULL);
    expect_none();
}

static void test_flags_refused(void **state)
{
    const char *env[] = { "HOME=/h", NULL };

    LOAD(env, "--prot", "5", "--port", "--max-sessions", "0", "stray", "--no-token-required=1", "--no-port",
         "--check-config=1", "--token-required=maybe", "--", "-p", "--session-timeout");
    expect(11, "--prot: there is no such flag; did you mean --port?\n");
    expect(11, "--port: the value is missing; it must be a whole number from 0 to 65535\n");
    expect(11, "--max-sessions must be a whole number from 1 to 1000000, not 0\n");
    expect(11, "stray: expected a flag");
    expect(11, "--no-token-required: takes no value\n");
    expect(11, "--no-port: there is no such flag");
    expect(11, "--check-config: takes no value\n");
    expect(11, "--token-required must be true or false, not \"maybe\"\n");
    expect(11, "--: expected a flag");
    expect(11, "-p: expected a flag");
    expect(11, "--session-timeout: the value is missing");
    cf_complaints_free(&complaints);
    LOAD(env, "--config");
    expect(1, "--config: the file's name is missing\n");
    cf_complaints_free(&complaints);
    LOAD(env, "--config=/nowhere/at/all");
    expect(1, "/nowhere/at/all: cannot be read: No such file");
}

static void test_everything_at_once(void **state)
{
    char path[] = "/tmp/curfew-test-XXXXXX";
    const char *env[] = { "PORT=x", "HOME=/h", NULL };

    write_file(path, "[server]\nport = 99999\n[session]\nmax_sessions = 0\n");
    LOAD(env, "--config", path, "--grace=never", "--host", "0.0.0.0");
    unlink(path);
    expect(5, ":2: port must be");
    expect(5, ":4: max_sessions must be");
    expect(5, "environment: PORT must be");
    expect(5, "--grace must be");
    expect(5, "settings: host: 0.0.0.0 ");
}

/* settling */

static void settle(const char *const *env)
{
    cf_settings_settle(&settings, words(&env_words, env), &complaints);
}

static void test_folders(void **state)
{
    const char *env[] = { "XDG_STATE_HOME=/s/.//", "XDG_RUNTIME_DIR=/r", "HOME=/h", NULL };

    settle(env);
    expect_none();
    assert_string_equal(settings.state_dir, "/s/curfew");
    assert_string_equal(settings.runtime_dir, "/r/curfew");
    assert_string_equal(settings.workspace_dir, "/s/curfew/workspaces");
    assert_string_equal(settings.token_file, "/s/curfew/token");
    assert_string_equal(settings.socket, "/r/curfew/curfew.sock");
}

static void test_folders_plain(void **state)
{
    const char *env[] = { "XDG_STATE_HOME=relative", "XDG_RUNTIME_DIR=", "HOME=/h", NULL };
    bool root = geteuid() == 0;

    settle(env);
    expect_none();
    assert_string_equal(settings.state_dir, root ? "/var/lib/curfew" : "/h/.local/state/curfew");
    assert_string_equal(settings.runtime_dir, root ? "/run/curfew" : "/h/.local/state/curfew/run");
}

static void test_folders_relative(void **state)
{
    const char *env[] = { "HOME=/h", NULL };
    char cwd[PATH_MAX], path[PATH_MAX + 32];

    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(cf_settings_set(&settings, "state_dir", "./a//b/../c/", NULL), 0);
    assert_int_equal(cf_settings_set(&settings, "workspace_dir", "/", NULL), 0);
    assert_int_equal(cf_settings_set(&settings, "socket", "none", NULL), 0);
    settle(env);
    expect_none();
    (void)snprintf(path, sizeof path, "%s/a/b/../c", cwd);
    assert_string_equal(settings.state_dir, path);
    (void)snprintf(path, sizeof path, "%s/a/b/../c/token", cwd);
    assert_string_equal(settings.token_file, path);
    assert_string_equal(settings.workspace_dir, "/");
    assert_string_equal(settings.socket, "none");
    assert_string_equal(settings.cgroup_root, "");
}

static void test_socket_too_long(void **state)
{
    const char *env[] = { "HOME=/h", NULL };
    char folder[200];

    memset(folder, 'x', sizeof folder - 1);
    folder[0] = '/';
    folder[sizeof folder - 1] = '\0';
    assert_int_equal(cf_settings_set(&settings, "runtime_dir", folder, NULL), 0);
    settle(env);
    expect(1, "is longer than 107 bytes; set socket\n");
}

static void test_foreign_host(void **state)
{
    static const char *const loopback[] = { "127.0.0.1", "127.255.0.9", "::1", "localhost", "::ffff:127.0.0.1" };
    static const char *const foreign[] = { "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.example", "127.1",
                                           "127.0.0.1.example", "::ffff:10.0.0.1" };
    const char *env[] = { "HOME=/h", NULL };

    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        assert_int_equal(cf_settings_set(&settings, "host", loopback[i], NULL), 0);
        settle(env);
        expect_none();
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        assert_int_equal(cf_settings_set(&settings, "host", foreign[i], NULL), 0);
        settle(env);
        expect((unsigned)i + 1, "set token_required = true");
    }
    cf_complaints_free(&complaints);
    settings.token_required = true;
    settle(env);
    expect_none();
}

/* help */

static void test_help(void **state)
{
    struct cf_buf out;
    size_t column = 0;

    cf_buf_init(&out, 1 << 20);
    cf_settings_help(&out);
    assert_false(out.failed);
    assert_non_null(strstr(out.data, "[server]\n"));
    assert_non_null(strstr(out.data, "\n  --session-timeout TIME          a session idle for longer ends\n"));
    assert_non_null(strstr(out.data, " 1 to 315360000 seconds, default 3600 (1h); can be changed at run time"));
    for (const char *p = out.data; *p != '\0'; p++) {
        column = *p == '\n' ? 0 : column + 1;
        assert_in_range(column, 0, 110);
    }
    cf_buf_free(&out);
}

#define TEST(title, func) { .name = title, .test_func = func, .setup_func = setup, .teardown_func = teardown }

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST("S0.1 S0.2 S0.3 S0.18: the defaults, and every row takes its own default", test_table),
        TEST("every number takes its minimum and maximum and nothing beyond, and says which", test_bounds),
        TEST("S0.1 S0.2: less than a second is refused, fractions above it are taken", test_timeout_minimum),
        TEST("a bad value names the setting and its range and changes nothing", test_set_refused),
        TEST("good values in each of their spellings", test_set_taken),
        TEST("text is taken up to its last allowed byte", test_text_length),
        TEST("S3.4: the document's sample loads as printed", test_sample),
        TEST("file: comments, CRLF, escapes, lists, durations and sizes as text", test_file_forms),
        TEST("file: bad numbers, booleans and durations", test_file_bad_values),
        TEST("file: bad text and lists", test_file_bad_strings),
        TEST("file: a NUL byte is a complaint and the next line still counts", test_file_nul),
        TEST("file: unknown, misplaced and second sections and keys", test_file_structure),
        TEST("file: a line that is too long is a complaint and the next one still counts", test_file_long_line),
        TEST("file: all errors are reported at once, each with its line", test_file_all_at_once),
        TEST("file: what is written back reads as the same", test_file_written_back),
        TEST("file: missing, too large or a folder", test_file_unreadable),
        TEST("S1.6: the document's environment variables work", test_env),
        TEST("CURFEW_NAME ranks above the further names; an empty variable is unset", test_env_rank),
        TEST("S1.6: a bad or misspelled variable is not silent", test_env_refused),
        TEST("rank: default, file, environment, flag", test_rank),
        TEST("flags in each of their forms", test_flags),
        TEST("bad flags are complaints", test_flags_refused),
        TEST("errors of file, environment and flags come together", test_everything_at_once),
        TEST("folders follow XDG", test_folders),
        TEST("folders without XDG", test_folders_plain),
        TEST("relative folders are relative to the working folder", test_folders_relative),
        TEST("a socket path that the kernel cannot take is a complaint", test_socket_too_long),
        TEST("listening elsewhere than loopback without a token is refused", test_foreign_host),
        TEST("the help shows every flag with its range and default", test_help),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
