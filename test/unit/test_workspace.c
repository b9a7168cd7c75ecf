/* Names that cannot escape the workspace folder. */
#include "server/workspace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    int root_fd;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct cf_error error;
    char path[128];
    strcpy(f->dir, "/tmp/curfew-workspace-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/a/b/root", f->dir);
    *state = f;
    return cf_workspace_root(path, &f->root_fd, &error);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];
    close(f->root_fd);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int status = system(command);
    free(f);
    return status;
}

static int try(struct fixture *f, const char *name, const char *cwd, struct cf_error *error)
{
    int fd = -1;
    int code = cf_workspace_open(f->root_fd, name, cwd, geteuid(), getegid(), &fd, error);
    assert_int_equal(code == 0, fd >= 0);
    if (fd >= 0)
        close(fd);
    return code;
}

static void good_names_are_made(void **state)
{
    struct cf_error error;
    char name[65];
    memset(name, 'x', 64);
    name[64] = '\0';
    assert_int_equal(try(*state, "w", NULL, &error), 0);
    assert_int_equal(try(*state, "A-z_0.9", NULL, &error), 0);
    assert_int_equal(try(*state, name, NULL, &error), 0);
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = { "", ".", "..", "../x", "/etc", "a/b", ".hidden", "a b", "a\nb", "\xff", "ü",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cf_error error = { 0 };
        assert_int_equal(try(*state, bad[i], NULL, &error), CF_E_INVALID);
        assert_string_equal(error.field, "workspace");
    }
}

static void a_link_is_no_workspace(void **state)
{
    struct fixture *f = *state;
    struct cf_error error;
    assert_int_equal(symlinkat("/etc", f->root_fd, "out"), 0);
    assert_int_equal(try(f, "out", NULL, &error), CF_E_WORKSPACE);
    assert_int_equal(try(f, "w", NULL, &error), 0);
    assert_int_equal(symlinkat("w", f->root_fd, "alias"), 0);
    assert_int_equal(try(f, "alias", NULL, &error), CF_E_WORKSPACE);
}

static void a_file_is_no_workspace(void **state)
{
    struct fixture *f = *state;
    struct cf_error error;
    close(openat(f->root_fd, "file", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(try(f, "file", NULL, &error), CF_E_WORKSPACE);
}

static void cwd_stays_inside(void **state)
{
    struct fixture *f = *state;
    struct cf_error error;
    assert_int_equal(try(f, "w", NULL, &error), 0);
    assert_int_equal(mkdirat(f->root_fd, "w/in", 0755), 0);
    assert_int_equal(symlinkat("in", f->root_fd, "w/good"), 0);
    assert_int_equal(symlinkat("../../..", f->root_fd, "w/bad"), 0);
    assert_int_equal(symlinkat("/etc", f->root_fd, "w/worse"), 0);
    assert_int_equal(try(f, "w", "in", &error), 0);
    assert_int_equal(try(f, "w", "good", &error), 0);
    assert_int_equal(try(f, "w", "in/..", &error), 0);
    assert_int_equal(try(f, "w", "none", &error), CF_E_INVALID);
    assert_string_equal(error.field, "cwd");
    assert_int_equal(try(f, "w", "..", &error), CF_E_WORKSPACE);
    assert_int_equal(try(f, "w", "/etc", &error), CF_E_WORKSPACE);
    assert_int_equal(try(f, "w", "bad", &error), CF_E_WORKSPACE);
    assert_int_equal(try(f, "w", "worse", &error), CF_E_WORKSPACE);
}

static void a_moved_folder_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct cf_error error;
    int fd;
    char path[PATH_MAX];
    assert_int_equal(cf_workspace_open(f->root_fd, "w", NULL, geteuid(), getegid(), &fd, &error), 0);
    assert_int_equal(cf_workspace_path(fd, path), 0);
    assert_false(cf_workspace_stands_in(fd, getpid()));
    int before = open(".", O_PATH | O_DIRECTORY);
    assert_int_equal(chdir(path), 0);
    assert_true(cf_workspace_stands_in(fd, getpid()));
    assert_int_equal(fchdir(before), 0);
    close(before);
    close(fd);
}

#define TEST(title, function) { .name = title, .test_func = function, .setup_func = set_up, .teardown_func = tear_down }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a workspace is made when it is missing, and its parents", good_names_are_made),
        TEST("a name with a slash, a leading dot, 65 characters or none is refused", bad_names_are_refused),
        TEST("a link is no workspace, wherever it leads", a_link_is_no_workspace),
        TEST("a file is no workspace", a_file_is_no_workspace),
        TEST("cwd stays inside the workspace, links included", cwd_stays_inside),
        TEST("a shell that stands elsewhere than in its workspace is noticed", a_moved_folder_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
