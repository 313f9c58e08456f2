/* The log of verdicts: kept over restarts and kills, shared, bounded; and the judge that asks nobody twice.
 */
#include "judge_case.h"
#include "temp_folder.h"

#include "fovea/io/hdf5/hdf5.h"
#include "fovea/reward/judge/judge_cache.h"
#include "fovea/base/log.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static fv_verdict_key key_of(int i)
{
    char text[16];
    snprintf(text, sizeof text, "%d", i);
    const fv_case asked = {.answer = fv_slice_of(text)};
    return fv_verdict_key_of(fv_slice_of("me"), &asked);
}

static fv_verdict_log *open_log(const char *name, int rank, int64_t max)
{
    fv_verdict_log *log;
    assert_ok(fv_verdict_log_open(temp_path(name), rank, max, &log));
    return log;
}

/* How many of [first, end) are there; each has the score i % 2. */
static int count_known(const fv_verdict_log *log, int first, int end)
{
    int n = 0;
    for (int i = first; i < end; i++) {
        double score = -1;
        if (!fv_verdict_log_find(log, key_of(i), &score))
            continue;
        assert_true(score == i % 2);
        n++;
    }
    return n;
}

static void add(fv_verdict_log *log, int first, int end)
{
    for (int i = first; i < end; i++)
        assert_ok(fv_verdict_log_add(log, key_of(i), i % 2));
}

static void test_keys(void **state)
{
    (void)state;
    const fv_case a = {fv_slice_of("ab"), fv_slice_of("c"), fv_slice_of("d")},
                  b = {fv_slice_of("a"), fv_slice_of("bc"), fv_slice_of("d")}, none = {0};
    fv_verdict_key x = fv_verdict_key_of(fv_slice_of("m"), &a), y = fv_verdict_key_of(fv_slice_of("m"), &b),
                   z = fv_verdict_key_of(fv_slice_of("n"), &a), w = fv_verdict_key_of((fv_slice){0}, &none);
    assert_true(x.low != y.low && x.low != z.low && y.low != z.low && w.low != x.low);
}

static void test_restart_and_fold(void **state)
{
    (void)state;
    fv_comm *self;
    fv_hdf5 *file;
    int64_t dims[FV_HDF5_MAX_DIMS];
    int n_dims;
    assert_ok(fv_comm_self(&self));
    fv_verdict_log *log = open_log("log", 0, 1000000);
    add(log, 0, 3000);
    fv_verdict_log_close(log);
    log = open_log("log", 0, 1000000); /* from the journal alone */
    assert_int_equal(count_known(log, 0, 4000), 3000);
    add(log, 3000, 3100);
    assert_ok(fv_verdict_log_share(log, self));
    add(log, 3100, 3200);
    fv_verdict_log_close(log);
    assert_ok(fv_hdf5_open(temp_path("log/verdicts.h5"), &file));
    assert_ok(fv_hdf5_dims(file, "key", &n_dims, dims));
    assert_true(n_dims == 2 && dims[0] == 3100 && dims[1] == 2);
    assert_ok(fv_hdf5_close(file));
    uint64_t size;
    assert_ok(fv_file_size(temp_path("log/verdicts.0.journal"), &size));
    assert_int_equal(size, 100 * 32);
    log = open_log("log", 1, 1000000);
    assert_int_equal(count_known(log, 0, 4000), 3200);
    fv_verdict_log_close(log);
    fv_comm_destroy(self);
}

static void test_one_writer(void **state)
{
    (void)state;
    fv_verdict_log *one = open_log("writers", 0, 1000), *other = open_log("writers", 0, 1000);
    add(one, 0, 1);
    assert_fails(fv_verdict_log_add(other, key_of(1), 1), FV_ERR_ARGUMENT, "in use by another run");
    fv_verdict_log_close(one);
    fv_verdict_log_close(other);
}

static int file_holds(const char *path, const char *part)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return n > 0 && strstr(text, part) != NULL;
}

/* A killed run holds its journal for a moment longer: the next one waits for it, and says so. */
static void test_a_writer_that_goes(void **state)
{
    (void)state;
    int ends[2], status;
    char byte, said[4096];
    snprintf(said, sizeof said, "%s", temp_path("said"));
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        add(open_log("gone", 0, 1000), 0, 1);
        int is_told = write(ends[1], "", 1) == 1;
        while (is_told && !file_holds(said, "is in use: waiting"))
            nanosleep(&(struct timespec){0, 5000000}, NULL);
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_ok(fv_log_keep(said));
    fv_verdict_log *log = open_log("gone", 0, 1000);
    add(log, 1, 2);
    assert_true(file_holds(said, "is in use: waiting"));
    fv_verdict_log_close(log);
    log = open_log("gone", 0, 1000);
    assert_int_equal(count_known(log, 0, 2), 2);
    fv_verdict_log_close(log);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
}

static void test_torn_ends(void **state)
{
    (void)state;
    fv_verdict_log *log = open_log("torn", 0, 1000);
    add(log, 0, 10);
    fv_verdict_log_close(log);
    for (int cut = 1; cut < 64; cut++) {
        assert_int_equal(truncate(temp_path("torn/verdicts.0.journal"), 10 * 32 - cut), 0);
        log = open_log("torn", 0, 1000);
        int whole = (10 * 32 - cut) / 32;
        assert_int_equal(count_known(log, 0, 10), whole);
        add(log, whole, 10); /* behind what is whole */
        fv_verdict_log_close(log);
        log = open_log("torn", 3, 1000);
        assert_int_equal(count_known(log, 0, 10), 10);
        fv_verdict_log_close(log);
    }
    FILE *file = fopen(temp_path("torn/verdicts.0.journal"), "r+");
    assert_true(file && fseek(file, 5 * 32 + 3, SEEK_SET) == 0 && fputc(0x55, file) != EOF &&
                fclose(file) == 0);
    log = open_log("torn", 0, 1000);
    assert_in_range(count_known(log, 0, 10), 5, 6);
    fv_verdict_log_close(log);
}

/* A verdicts.h5 that cannot be read, or says what no judge says, is only a cache: it goes out of the way. */
static void write_scores(double score)
{
    fv_hdf5 *file;
    fv_verdict_key key = key_of(1);
    const uint64_t words[2] = {key.low, key.high};
    const int64_t n = 1;
    assert_ok(fv_hdf5_create(temp_path("odd/verdicts.h5"), &file));
    assert_ok(fv_hdf5_write(file, "key", FV_U64, 2, (int64_t[]){1, 2}, words));
    assert_ok(fv_hdf5_write(file, "score", FV_F64, 1, &n, &score));
    assert_ok(fv_hdf5_close(file));
}

static void check_set_aside(void)
{
    fv_verdict_log *log = open_log("odd", 0, 1000);
    assert_int_equal(count_known(log, 0, 10), 0);
    add(log, 0, 10);
    fv_verdict_log_close(log);
    assert_int_not_equal(access(temp_path("odd/verdicts.h5"), F_OK), 0);
    assert_int_equal(unlink(temp_path("odd/verdicts.h5.damaged")), 0);
    assert_int_equal(unlink(temp_path("odd/verdicts.0.journal")), 0);
}

static void test_odd_files(void **state)
{
    (void)state;
    fv_file_map map;
    static const double scores[] = {1e30, -0.5, 1.5, (double)NAN, (double)INFINITY};
    fv_verdict_log_close(open_log("odd", 0, 1000));
    write_scores(1);
    fv_verdict_log *log = open_log("odd", 0, 1000);
    assert_int_equal(count_known(log, 0, 10), 1);
    fv_verdict_log_close(log);
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        write_scores(scores[i]);
        check_set_aside();
    }
    assert_ok(fv_file_open_map(test_data("hdf5/verdicts_broken.h5"), &map));
    assert_ok(fv_file_write(temp_path("odd/verdicts.h5"), map.data, map.size));
    fv_file_close_map(&map);
    check_set_aside();
    temp_write("odd/verdicts.h5", "");
    check_set_aside();
}

static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full is no failure, neither where the journal cannot be begun, nor within a record, nor
 * where all of the log is to be written. */
static void test_a_full_disk(void **state)
{
    (void)state;
    fv_comm *self;
    signal(SIGXFSZ, SIG_IGN);
    assert_ok(fv_comm_self(&self));
    fv_verdict_log *log = open_log("full", 0, 1000);
    limit_files(0);
    add(log, 0, 3);
    limit_files(5 * 32 + 7);
    add(log, 3, 8);
    assert_int_equal(count_known(log, 0, 8), 8);
    fv_verdict_log *other = open_log("full", 1, 1000);
    assert_int_equal(count_known(other, 0, 8), 5);
    fv_verdict_log_close(other);
    limit_files(RLIM_INFINITY);
    add(log, 8, 9);
    fv_verdict_log_close(log);
    log = open_log("full", 1, 1000);
    assert_int_equal(count_known(log, 0, 9), 9);
    assert_ok(fv_verdict_log_share(log, self));
    fv_verdict_log_close(log);
    fv_comm_destroy(self);
}

/* A process that adds and folds without end, and is killed at any moment. */
static void add_for_ever(int done)
{
    fv_comm *self;
    fv_verdict_log *log;
    if (fv_comm_self(&self) != FV_OK || fv_verdict_log_open(temp_path("killed"), 0, 1000000, &log) != FV_OK)
        _exit(1);
    for (int i = 0;; i++) {
        if (fv_verdict_log_add(log, key_of(i), i % 2) != FV_OK || write(done, &i, sizeof i) != sizeof i)
            _exit(1);
        if (i % 50 == 49 && fv_verdict_log_share(log, self) != FV_OK)
            _exit(1);
    }
}

static void test_kills(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int ends[2], last = -1, i, status;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            add_for_ever(ends[1]);
        close(ends[1]);
        for (int n = 0; n < 37 * (round + 1) && read(ends[0], &i, sizeof i) == sizeof i; n++)
            last = i;
        kill(child, SIGKILL);
        while (read(ends[0], &i, sizeof i) == sizeof i)
            last = i;
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        fv_verdict_log *log = open_log("killed", 0, 1000000);
        assert_int_equal(count_known(log, 0, last + 1), last + 1);
        fv_verdict_log_close(log);
    }
}

static void test_bound(void **state)
{
    (void)state;
    fv_comm *self;
    uint64_t size;
    assert_ok(fv_comm_self(&self));
    fv_verdict_log *log = open_log("bound", 0, 1000);
    for (int i = 0; i < 20000; i += 100) {
        add(log, i, i + 100);
        assert_ok(fv_verdict_log_share(log, self));
        assert_in_range(count_known(log, i > 300 ? i - 300 : 0, i + 100), i > 300 ? 400 : 100, 400);
    }
    assert_in_range(count_known(log, 0, 20000), 500, 1000);
    assert_ok(fv_file_size(temp_path("bound/verdicts.h5"), &size));
    assert_in_range(size, 1, 24 * 1000 + 8192);
    assert_ok(fv_file_size(temp_path("bound/verdicts.0.journal"), &size));
    assert_in_range(size, 0, 32 * 300);
    fv_verdict_log_close(log);
    fv_comm_destroy(self);
}

static fv_judge *cache_create(const char *folder, const char *identity, fv_judge *inner)
{
    fv_judge *judge;
    const fv_judge_cache_settings settings = {
        .folder = temp_path(folder), .max_verdicts = 1000, .identity = fv_slice_of(identity)};
    assert_ok(fv_judge_cache_create(&settings, inner, &judge));
    return judge;
}

static void test_nobody_is_asked_twice(void **state)
{
    (void)state;
    static const char *const answers[] = {"good", "bad", "good", "odd", "bad", "good", "odd"};
    static const char *const expected[] = {"right", "wrong", "right", "unclear", "wrong", "right", "unclear"};
    enum { N = 7 };
    slow_judge inner;
    judged j[N];
    fv_judge_counts counts;
    fv_judge *judge = cache_create("cached", "me", slow_create(&inner));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            judged_ask(judge, &j[i], answers[i], "7");
        assert_int_equal(inner.n_asked, 3 + round); /* what had no verdict is asked again */
        assert_ok(fv_judge_collect(judge));
        for (int i = 0; i < N; i++)
            assert_string_equal(judged_outcome(&j[i]), expected[i]);
    }
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_cached, 2 * N - 4);
    judged_ask(judge, &j[0], "pending", "7");
    fv_judge_destroy(judge);

    judge = cache_create("cached", "me", NULL); /* replay */
    for (int i = 0; i < N; i++) {
        judged_ask(judge, &j[i], answers[i], "7");
        assert_string_equal(judged_outcome(&j[i]), i % 3 == 0 && i > 0 ? "unknown" : expected[i]);
    }
    fv_judge_destroy(judge);
    judge = cache_create("cached", "another", NULL);
    judged_ask(judge, &j[0], "good", "7");
    assert_string_equal(judged_outcome(&j[0]), "unknown");
    fv_judge_destroy(judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),        cmocka_unit_test(test_restart_and_fold),
        cmocka_unit_test(test_one_writer),  cmocka_unit_test(test_a_writer_that_goes),
        cmocka_unit_test(test_torn_ends),   cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_a_full_disk), cmocka_unit_test(test_kills),
        cmocka_unit_test(test_bound),       cmocka_unit_test(test_nobody_is_asked_twice)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
