/* The agents of a configuration file: what is read, and what is said of what is wrong. */
#include "base/agents.h"
#include "base/clock.h"
#include "base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define S(seconds) ((seconds) * CF_NS_PER_S)

static struct cf_agents *agents;
static struct cf_complaints complaints;

static int setup(void **state)
{
    cf_complaints_init(&complaints);
    return 0;
}

static int teardown(void **state)
{
    cf_agents_free(&agents);
    assert_null(agents);
    cf_complaints_free(&complaints);
    return 0;
}

static void read_text(const char *text)
{
    cf_agents_free(&agents);
    cf_complaints_free(&complaints);
    cf_complaints_init(&complaints);
    agents = cf_agents_read_text("t.conf", text, strlen(text), &complaints);
    assert_non_null(agents);
}

static const struct cf_agent *fine(const char *text, const char *name)
{
    read_text(text);
    assert_string_equal(cf_complaints_text(&complaints), "");
    const struct cf_agent *a = cf_agents_find(agents, name);
    assert_non_null(a);
    return a;
}

/* One complaint, which holds `what`. */
static void wrong(const char *text, const char *what)
{
    read_text(text);
    if (complaints.count != 1 || strstr(cf_complaints_text(&complaints), what) == NULL)
        print_message("%s\ngives\n%snot\n%s\n", text, cf_complaints_text(&complaints), what);
    assert_int_equal(complaints.count, 1);
    assert_non_null(strstr(cf_complaints_text(&complaints), what));
}

static void assert_words(const struct cf_words *w, const char *first, ...)
{
    va_list args;
    size_t n = 0;
    va_start(args, first);
    for (const char *word = first; word != NULL; word = va_arg(args, const char *), n++) {
        assert_true(n < w->count);
        assert_string_equal(w->list[n], word);
    }
    va_end(args);
    assert_int_equal(w->count, n);
    assert_true(n == 0 || w->list[n] == NULL);
}

static void everything_is_read(void **state)
{
    const struct cf_agent *a = fine("[server]\nport = 1\n[agents]\nagent = \"x\"\n[agents.cursor-agent] # one\n"
                                    "command = [\"/bin/cat\", '-u', \"\", \"a, b\\n\",]\nenv = { A = \"b=c\", _D1 = '' }\nworkspace = \"w.1\"\n"
                                    "cwd = \"sub/folder\"\nrestart = \"on-failure\"\nrestart_limit = 3\nrestart_backoff = \"1.5s\"\n"
                                    "idle_timeout = 60\nmax_age = \"2h\"\n[session]\ngrace = 1\n", "cursor-agent");
    assert_int_equal(agents->count, 1);                 /* the file has the built-in one's name */
    assert_words(&a->command, "/bin/cat", "-u", "", "a, b\n", NULL);
    assert_words(&a->env, "A=b=c", "_D1=", NULL);
    assert_string_equal(a->workspace, "w.1");
    assert_string_equal(a->cwd, "sub/folder");
    assert_int_equal(a->restart, CF_AGENT_RESTART_ON_FAILURE);
    assert_string_equal(cf_agent_restart_name(a->restart), "on-failure");
    assert_int_equal(a->restart_limit, 3);
    assert_true(a->restart_backoff_ns == S(3) / 2 && a->idle_ns == S(60) && a->age_ns == S(7200));
}

static void what_is_not_said_has_its_default(void **state)
{
    char names[64];
    const struct cf_agent *a = fine("\xef\xbb\xbf[agents.one]\r\ncommand = \"cat  -u -\"\r\n[agents.two]\r\ncommand=['x']\r\n", "one");
    assert_words(&a->command, "cat", "-u", "-", NULL);
    assert_words(&a->env, NULL);
    assert_null(a->workspace);
    assert_null(a->cwd);
    assert_int_equal(a->restart, CF_AGENT_RESTART_NEVER);
    assert_string_equal(cf_agent_restart_name(a->restart), "never");
    assert_true(a->restart_limit == 5 && a->restart_backoff_ns == S(1) && a->idle_ns == 0 && a->age_ns == 0);
    assert_null(cf_agents_find(agents, "three"));
    assert_string_equal(cf_agents_names(agents, names, sizeof names), "one, two, cursor-agent");
    assert_true(strlen(cf_agents_names(agents, names, 8)) < 8);
    a = fine("", CF_AGENT_BUILT_IN);
    assert_words(&a->command, CF_AGENT_BUILT_IN, NULL);
}

static void an_environment_is_a_table_or_a_list(void **state)
{
    const struct cf_agent *a = fine("[agents.a.env]\nA = \"1\"\nB_2 = '\"'\n[agents.a]\ncommand = ['x']\n", "a");
    assert_words(&a->env, "A=1", "B_2=\"", NULL);
    a = fine("[agents.a]\ncommand = ['x']\nenv = [\"A=1\", 'B=']\n", "a");
    assert_words(&a->env, "A=1", "B=", NULL);
    a = fine("[agents.a]\ncommand = ['x']\nenv = {}\n", "a");
    assert_words(&a->env, NULL);
}

#define A "[agents.a]\ncommand = ['x']\n"

static void mistakes_name_line_agent_and_key(void **state)
{
    static const char *const cases[][2] = {
        { "[agents.a]\n", "t.conf:1: agents.a: command is missing; it must be a list" },
        { "[agents.a]\ncommand = []\n", "t.conf:2: agents.a: command must be a list of texts, the program first, or one text with blanks between: the program's name is missing" },
        { "[agents.a]\ncommand = ['']\n", "the program's name is missing" },
        { "[agents.a]\ncommand = ' '\n", "the program's name is missing" },
        { "[agents.a]\ncommand = [1]\n", "text needs quotes" },
        { "[agents.a]\ncommand = ['a' 'b']\n", "lacks a comma" },
        { "[agents.a]\ncommand = ['a',\n", "text needs quotes" },
        { "[agents.a]\ncommand = ['a'\n", "does not end on its line" },
        { "[agents.a]\ncommand = ['a'] x\n", "there is text after the value" },
        { "[agents.a]\ncommand = \"sh -c 'x'\"\n", "write a list" },
        { "[agents.a]\ncommand = [\"a\\u0000b\"]\n", "NUL" },
        { "[agents.a]\ncommand =\n", "the value is missing" },
        { "[agents.a]\ncommand\n", "there is no = after it" },
        { A "command = ['y']\n", "t.conf:3: agents.a: command is set in line 2 already" },
        { A "foo = 1\n", "t.conf:3: agents.a: there is no key foo; there are command, env, workspace, cwd, restart, restart_limit, restart_backoff, idle_timeout, max_age" },
        { A "= 1\n", "expected key = value" },
        { A "[agents.a]\n", "this table is in line 1 already" },
        { A "[agents.a.env]\n[agents.a.env]\n", "this table is in line 3 already" },
        { A "[agents.b.c]\n", "an agent is written [agents.NAME]" },
        { A "[agents.b\n", "an agent is written [agents.NAME]" },
        { A "[agents.]\n", "an agent is written [agents.NAME]" },
        { A "[agents.\"b\"]\n", "an agent is written [agents.NAME]" },
        { A "env = 'A=b'\n", "agents.a: env must be a table of texts, or a list of \"NAME=value\"" },
        { A "env = ['A']\n", "a variable is NAME=value" },
        { A "env = ['1A=x']\n", "a name is of the form" },
        { A "env = ['A=x', 'A=y']\n", "a variable is there twice" },
        { A "env = { A = 1 }\n", "text needs quotes" },
        { A "env = { A }\n", "a variable is written NAME = \"value\"" },
        { A "env = { A = 'x'\n", "lacks a comma" },
        { A "[agents.a.env]\nA-B = 'x'\n", "a name is of the form" },
        { A "[agents.a.env]\nA = 'x' y\n", "there is text after the value" },
        { A "workspace = '.x'\n", "workspace must be 1 to 64 of" },
        { A "workspace = 'a/b'\n", "workspace must be 1 to 64 of" },
        { A "workspace = ''\n", "workspace must be 1 to 64 of" },
        { A "cwd = '/tmp'\n", "cwd must be a folder inside the workspace, text of 1 to 4095 bytes: it begins with a slash" },
        { A "restart = 'always'\n", "restart must be \"never\" or \"on-failure\"" },
        { A "restart_limit = -1\n", "restart_limit must be a whole number from 0 to 1000000" },
        { A "restart_limit = 1000001\n", "restart_limit must be a whole number from 0 to 1000000" },
        { A "restart_limit = '3'\n", "restart_limit must be a whole number from 0 to 1000000" },
        { A "restart_limit = 99999999999999999999\n", "restart_limit must be a whole number from 0 to 1000000" },
        { A "restart_backoff = 0\n", "restart_backoff must be a duration from 0.01 to 3600 seconds" },
        { A "restart_backoff = '2h'\n", "restart_backoff must be a duration from 0.01 to 3600 seconds" },
        { A "idle_timeout = 0.5\n", "idle_timeout must be a duration from 1 to 315360000 seconds" },
        { A "max_age = true\n", "max_age must be a duration from 1 to 315360000 seconds" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        wrong(cases[i][0], cases[i][1]);
}

static void bounds_hold(void **state)
{
    struct cf_buf text;
    cf_buf_init(&text, 1 << 20);
    for (int i = 0; i < CF_AGENTS_MAX + 1; i++)
        cf_buf_printf(&text, "[agents.a%d]\ncommand = ['x']\n", i);
    wrong(text.data, "t.conf:129: agents.a64: there may be 64 agents");
    assert_int_equal(agents->count, CF_AGENTS_MAX + 1);         /* and the built-in one */
    cf_buf_reset(&text);
    cf_buf_puts(&text, A "[agents.a.env]\n");
    for (int i = 0; i < CF_AGENT_WORDS_MAX + 1; i++)
        cf_buf_printf(&text, "A%d = ''\n", i);
    wrong(text.data, "there are more than 256");
    cf_buf_reset(&text);
    cf_buf_printf(&text, A "[agents.%065d]\n", 0);
    wrong(text.data, "1 to 64 of A-Z a-z 0-9 _ -");
    cf_buf_free(&text);
}

static void the_settings_reader_leaves_them_alone_and_checks_them(void **state)
{
    static struct cf_settings settings;
    static const char text[] = "[agents]\nagent_timeout = 5\n[agents.a]\ncommand = ['x']\nport = 7\n[server]\nport = 9\n[agents.b]\n";
    cf_settings_default(&settings);
    cf_settings_read_text(&settings, "t.conf", text, sizeof text - 1, &complaints);
    assert_int_equal(complaints.count, 2);
    assert_non_null(strstr(cf_complaints_text(&complaints), "t.conf:5: agents.a: there is no key port"));
    assert_non_null(strstr(cf_complaints_text(&complaints), "t.conf:8: agents.b: command is missing"));
    assert_true(settings.port == 9 && settings.agent_timeout == S(5));
}

static bool same_words(const struct cf_words *a, const struct cf_words *b)
{
    bool same = a->count == b->count && b->list[b->count] == NULL;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->list[i], b->list[i]) == 0;
    return same;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void another_process_has_the_same(void **state)
{
    struct cf_buf packed;
    (void)fine("[agents.b]\ncommand = [\"b\", \"\", \"two words\"]\nenv = { A = \"1\", B = \"\" }\nworkspace = \"w\"\ncwd = \"c/d\"\nrestart = \"on-failure\"\n"
               "restart_limit = 7\nrestart_backoff = \"2s\"\nidle_timeout = \"3m\"\nmax_age = \"4h\"\n" A, "b");
    cf_buf_init(&packed, 1 << 20);
    cf_agents_pack(agents, &packed);
    assert_false(packed.failed);
    struct cf_agents *other = cf_agents_unpack(packed.data, packed.len);
    assert_non_null(other);
    assert_int_equal(other->count, agents->count);
    for (size_t i = 0; i < agents->count; i++) {
        const struct cf_agent *a = &agents->list[i], *b = &other->list[i];
        assert_string_equal(a->name, b->name);
        assert_true(same_words(&a->command, &b->command) && same_words(&a->env, &b->env));
        assert_true(same_text(a->workspace, b->workspace) && same_text(a->cwd, b->cwd));
        assert_true(a->restart == b->restart && a->restart_limit == b->restart_limit && a->restart_backoff_ns == b->restart_backoff_ns);
        assert_true(a->idle_ns == b->idle_ns && a->age_ns == b->age_ns);
    }
    cf_agents_free(&other);
    for (size_t len = 0; len < packed.len; len++) {     /* of exactly so many bytes, so that one that reads on is seen */
        char *part = malloc(len + 1);
        memcpy(part, packed.data, len);
        part = realloc(part, len > 0 ? len : 1);
        assert_null(cf_agents_unpack(part, len));
        free(part);
    }
    cf_buf_putc(&packed, 'x');
    assert_null(cf_agents_unpack(packed.data, packed.len));
    assert_null(cf_agents_unpack("-1", 3));
    assert_null(cf_agents_unpack("66", 3));
    assert_null(cf_agents_unpack("1\0name\0" "257", 11));
    cf_buf_free(&packed);
}

static void the_default_agent_has_to_be_there(void **state)
{
    static struct cf_settings settings;
    struct cf_settings_args args;
    char path[] = "/tmp/curfew-test-XXXXXX", *config = path;
    char *argv[] = { (char[]){ "--config" }, config, (char[]){ "--agent=b" } }, *env[] = { (char[]){ "HOME=/h" }, NULL };
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, A, strlen(A)) == (ssize_t)strlen(A));
    cf_settings_load(&settings, 3, argv, env, &args, &complaints);
    assert_string_equal(args.file, path);
    assert_int_equal(complaints.count, 1);
    assert_non_null(strstr(cf_complaints_text(&complaints), "settings: agent: there is no agent b; there are a, cursor-agent\n"));
    argv[2][strlen("--agent=")] = 'a';
    cf_complaints_free(&complaints);
    cf_settings_load(&settings, 3, argv, env, &args, &complaints);
    assert_int_equal(complaints.count, 0);
    agents = cf_agents_read_file(path, &complaints);
    assert_non_null(cf_agents_find(agents, settings.agent));
    close(fd);
    unlink(path);
    cf_agents_free(&agents);
    agents = cf_agents_read_file(path, &complaints);
    assert_non_null(strstr(cf_complaints_text(&complaints), "cannot be read"));
}

#define TEST(title, func) { .name = title, .test_func = func, .setup_func = setup, .teardown_func = teardown }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("an agent's command, environment, workspace, restarts and limits are read", everything_is_read),
        TEST("what is not said has its default, and cursor-agent is there without a file", what_is_not_said_has_its_default),
        TEST("an environment is an inline table, a table of its own or a list", an_environment_is_a_table_or_a_list),
        TEST("each mistake is told once with line, agent, key and what is allowed", mistakes_name_line_agent_and_key),
        TEST("agents, words and names are bounded", bounds_hold),
        TEST("the settings reader leaves agents alone, and complains of their mistakes", the_settings_reader_leaves_them_alone_and_checks_them),
        TEST("packed for another process they are the same there, and what is cut off or too much is refused", another_process_has_the_same),
        TEST("the agent that is started by default has to be there", the_default_agent_has_to_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
