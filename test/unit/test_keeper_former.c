/* test_keeper_former.c: what an earlier keeper left, and the folders that a keeper works in. */
#include "keeper_holds.h"

#include "base/clock.h"
#include "base/fd.h"
#include "keeper/folders.h"
#include "keeper/table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_table_has_room_for_what_a_start_records(void **state)
{
    struct cf_table t;

    cf_table_init(&t, 2000);
    for (uint32_t i = 1; i <= 1500; i++) {
        struct cf_held *held = cf_table_add(&t, i);

        assert_non_null(held);
        peer_no_memory(true);
        cf_table_pid_set(&t, held, (pid_t)i);
        cf_table_cgroup_set(&t, held, i);
        peer_no_memory(false);
        assert_ptr_equal(cf_table_by_pid(&t, (pid_t)i), held);
        assert_ptr_equal(cf_table_by_cgroup(&t, i), held);
    }
    cf_table_free(&t);
}

static void make_folder(char *ret_path, size_t size)
{
    const char *base = getenv("TMPDIR");

    snprintf(ret_path, size, "%s/keeper.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(ret_path));
}

/* Where a keeper is that leaves something, and the next one. */
static void sweep_elsewhere(uint32_t hold, bool move_away)
{
    char folder[100], here[512], there[600], file[200];
    struct peer p, next;
    CF_FD_AUTO out = -1;
    struct stat status;

    make_folder(folder, sizeof folder);
    assert_true(peer_cgroup_of(getpid(), here));
    snprintf(there, sizeof there, "%s/curfew-test-%d", here, (int)getpid());
    assert_int_equal(mkdir(there, 0755), 0);
    peer_open_as(&p, &(struct peer_birth){ .hold = hold, .state_dir = folder, .cgroup = there });
    peer_hello(&p);
    start(&p, 1, ESCAPERS "echo ready; wait", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    kill(p.keeper_pid, SIGKILL);
    (void)peer_close(&p);
    peer_open_as(&next, &(struct peer_birth){ .hold = hold, .state_dir = folder, .cgroup = move_away ? NULL : there });
    peer_hello(&next);
    assert_int_equal(peer_alive(&p), 0);
    assert_true(next.welcome.swept >= 3);
    if (move_away)
        assert_int_equal(peer_count_folders(there), 0);
    snprintf(file, sizeof file, "%s/cgroup", folder);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    bye(&next);
    assert_int_equal(rmdir(there), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);         /* and nothing else is in it */
}

static void what_a_keeper_left_in_another_cgroup_is_swept(void **state)
{
    if (peer_cgroup_mount() == NULL || !peer_offers(CF_HOLD_CGROUP))
        skip();
    sweep_elsewhere(CF_HOLD_CGROUP, true);
    sweep_elsewhere(CF_HOLD_CGROUP, false);
}

static void a_list_of_cgroups_that_says_anything_harms_nobody(void **state)
{
    char folder[100], file[200], here[512], other[600], plain[200];
    struct peer p;
    FILE *list;

    if (peer_cgroup_mount() == NULL || !peer_offers(CF_HOLD_CGROUP))
        skip();
    make_folder(folder, sizeof folder);
    assert_true(peer_cgroup_of(getpid(), here));
    snprintf(other, sizeof other, "%s/curfew-00000000", here);
    snprintf(plain, sizeof plain, "%s/curfew-plain", folder);
    assert_int_equal(mkdir(other, 0755), 0);
    assert_int_equal(mkdir(plain, 0755), 0);
    snprintf(file, sizeof file, "%s/cgroup", folder);
    list = fopen(file, "we");
    assert_non_null(list);
    fprintf(list, "%s\n%s\n%s\n\n/\nnonsense\n/nowhere/at/all", other, here, plain);
    for (int i = 0; i < 3000; i++)
        fputs("x/", list);
    fclose(list);
    peer_open_as(&p, &(struct peer_birth){ .hold = CF_HOLD_CGROUP, .state_dir = folder });
    peer_hello(&p);
    run_one(&p, 1);
    bye(&p);
    assert_int_equal(rmdir(other), 0);          /* neither was removed */
    assert_int_equal(rmdir(plain), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void refuses(const char *path, const char *first, const char *second)
{
    struct cf_error error = { 0 };

    assert_int_equal(cf_folder_make(path, 0700, &error), CF_E_SYSTEM);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, first));
    assert_non_null(strstr(error.text, second));
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
    char folder[100], path[120], link[120], slashed[130];
    struct cf_error error = { 0 };

    make_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/state", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(slashed, sizeof slashed, "%s//", link);
    assert_int_equal(cf_folder_make(path, 0700, &error), 0);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(cf_folder_make(path, 0700, &error), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(cf_folder_make(slashed, 0700, &error), 0);
    assert_int_equal(chmod(path, 0775), 0);
    refuses(path, "0775", "owner");
    refuses(link, "0775", "owner");
    assert_int_equal(chmod(path, 01777), 0);
    refuses(path, "1777", "owner");
    assert_int_equal(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        refuses(path, "12345", "0700");
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(lchown(link, 12345, 12345), 0);
        refuses(link, "12345", "symbolic link");
        assert_int_equal(cf_folder_make(slashed, 0700, &error), CF_E_SYSTEM);
    }
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static const struct CMUnitTest alone[] = {
    { .name = "a table has room for what a start records, with no memory left",
      .test_func = a_table_has_room_for_what_a_start_records },
    { .name = "Nothing escapes: what a killed keeper left in one cgroup is swept by one that starts in another",
      .test_func = what_a_keeper_left_in_another_cgroup_is_swept },
    { .name = "Nothing dies by mistake: a list of cgroups that says anything harms nobody",
      .test_func = a_list_of_cgroups_that_says_anything_harms_nobody },
    { .name = "a folder that others may write, own or link is refused with its owner and mode",
      .test_func = a_folder_that_others_may_write_is_refused },
};

int main(void)
{
    return cmocka_run_group_tests_name("alone", alone, NULL, NULL);
}
