/* Leases of a run's folder: one at a time, stale ones do not matter, a requeued job takes over, and who was
 * taken over from can commit nothing. Which checkpoints are kept. */
#include "temp_folder.h"

#include "fovea/run/lease.h"
#include "fovea/run/retention.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void be_job(const char *job, const char *restart)
{
    setenv("SLURM_JOB_ID", job, 1);
    setenv("SLURM_RESTART_COUNT", restart, 1);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    fv_lease first, second;
    be_job("7", "0");
    assert_ok(fv_lease_take(temp_path("run"), &first));
    assert_int_equal(first.epoch, 1);
    assert_true(fv_file_exists(first.own));
    assert_ok(fv_lease_check(&first));
    be_job("8", "3");
    assert_fails(fv_lease_take(temp_path("run"), &second), FV_ERR_ARGUMENT,
                 "(job 7) has been writing this run");
    assert_ok(fv_lease_check(&first));
    fv_lease_release(&first);
    assert_ok(fv_lease_take(temp_path("run"), &second));
    assert_int_equal(second.epoch, 2);
    fv_lease_release(&second);
    assert_false(fv_file_exists(temp_path("run/checkpoints/.epoch_2")));
}

/* A process that was killed with its lease. */
static void test_stale(void **state)
{
    (void)state;
    fv_lease lease;
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (fv_lease_take(temp_path("killed"), &lease) == FV_OK)
            raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_ok(fv_lease_take(temp_path("killed"), &lease));
    assert_int_equal(lease.epoch, 2);
    assert_false(fv_file_exists(temp_path("killed/checkpoints/.epoch_1")));
    fv_lease_release(&lease);
}

/* The folders that a run's folder is in are made; what is no folder is left as it is. */
static void test_folders(void **state)
{
    (void)state;
    fv_lease lease;
    be_job("7", "0");
    assert_ok(fv_lease_take(temp_path("new/folders/run"), &lease));
    assert_true(fv_file_exists(temp_path("new/folders/run/checkpoints")));
    fv_lease_release(&lease);
    temp_write("file", "");
    assert_fails(fv_lease_take(temp_path("file/run"), &lease), FV_ERR_IO, "cannot create folder");
}

static void test_successor_takes_over(void **state)
{
    (void)state;
    fv_lease old, young;
    char made[PATH_MAX];
    be_job("9", "0");
    assert_ok(fv_lease_take(temp_path("cut"), &old));
    assert_ok(fv_file_path(made, sizeof made, old.own, "step_000001"));
    assert_ok(fv_file_make_folder(made));
    be_job("9", "1");
    assert_ok(fv_lease_take(temp_path("cut"), &young));
    assert_int_equal(young.epoch, 2);
    assert_int_not_equal(rename(made, temp_path("cut/checkpoints/step_000001")), 0);
    assert_fails(fv_lease_check(&old), FV_ERR_ARGUMENT, "was taken over by process");
    assert_fails(fv_lease_check(&old), FV_ERR_ARGUMENT, "(job 9, restart 1)");
    fv_lease_release(&old); /* takes nothing from the other */
    assert_ok(fv_lease_check(&young));
    fv_lease_release(&young);
}

/* The lock is a new file for every lease, which nobody rewrites; who waits for the old one meets the new one.
 */
static void test_lock_is_replaced(void **state)
{
    (void)state;
    fv_lease old, young;
    struct stat before, after, now;
    be_job("10", "0");
    assert_ok(fv_lease_take(temp_path("lock"), &old));
    assert_int_equal(stat(temp_path("lock/lock"), &before), 0);
    be_job("10", "1");
    assert_ok(fv_lease_take(temp_path("lock"), &young));
    assert_int_equal(stat(temp_path("lock/lock"), &after), 0);
    assert_true(before.st_ino != after.st_ino);
    assert_int_equal(fstat(old.descriptor, &now), 0);
    assert_int_equal(now.st_size, before.st_size);
    fv_lease_release(&old);
    /* The lock of the one that took over holds, also where the old one is gone. */
    int other = open(temp_path("lock/lock"), O_RDWR | O_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_true(other >= 0 && fcntl(other, F_OFD_SETLK, &whole) != 0);
    close(other);
    fv_lease_release(&young);
}

/* A run publishes out of its epoch's folder, and only while it has that. */
static void test_publishing(void **state)
{
    (void)state;
    fv_lease old, young;
    char made[PATH_MAX];
    be_job("12", "0");
    assert_ok(fv_lease_take(temp_path("publish"), &old));
    assert_ok(fv_file_path(made, sizeof made, old.own, "x"));
    assert_ok(fv_file_write(made, "old", 3));
    be_job("12", "1");
    assert_ok(fv_lease_take(temp_path("publish"), &young));
    assert_fails(fv_lease_publish(&old, "x", temp_path("publish/x")), FV_ERR_ARGUMENT, "restart 1");
    assert_false(fv_file_exists(temp_path("publish/x")));
    assert_ok(fv_file_path(made, sizeof made, young.own, "x"));
    assert_ok(fv_file_make_folder(made));
    assert_ok(fv_lease_publish(&young, "x", temp_path("publish/x")));
    assert_ok(fv_file_make_folder(made));
    assert_ok(fv_lease_publish(&young, "x", temp_path("publish/x")));
    assert_false(fv_file_exists(made));
    fv_lease_release(&old);
    fv_lease_release(&young);
}

static void check_kept(fv_retention retention, int best, const char *expected)
{
    const uint64_t steps[] = {1, 2, 3, 4, 5, 6, 7};
    char kept[8] = "";
    for (int i = 0; i < 7; i++)
        kept[i] = fv_retention_keeps(&retention, steps, 7, i, best) ? '1' : '0';
    assert_string_equal(kept, expected);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    check_kept((fv_retention){.last = 1}, -1, "0000001");
    check_kept((fv_retention){.last = 3}, 0, "1000111");
    check_kept((fv_retention){.last = 1, .every = 3}, -1, "0010011");
    check_kept((fv_retention){.last = 9}, -1, "1111111");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),    cmocka_unit_test(test_stale),
        cmocka_unit_test(test_folders),          cmocka_unit_test(test_successor_takes_over),
        cmocka_unit_test(test_lock_is_replaced), cmocka_unit_test(test_publishing),
        cmocka_unit_test(test_what_is_kept)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
