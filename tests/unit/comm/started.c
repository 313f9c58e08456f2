/* How many processes were started together, and by whom, is read from the environment; MPI's count is
 * compared. */
#include "test.h"

#include "comm/started.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE",    "PMI_RANK", "PMIX_RANK",
                                    "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};

/* "NAME=VALUE NAME=VALUE": all that launchers have set. */
static fv_started look(const char *environment)
{
    char text[256], *rest = text, *word;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    snprintf(text, sizeof text, "%s", environment);
    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value = '\0';
        setenv(word, value + 1, 1);
    }
    return fv_started_look();
}

static void test_refused(void **state)
{
    static const struct {
        const char *environment, *told_by, *mend;
    } cases[] = {
        {"SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=2", "(SLURM_STEP_NUM_TASKS)", "srun --mpi=pmix"},
        {"PMIX_RANK=0 SLURM_STEP_NUM_TASKS=2", "(SLURM_STEP_NUM_TASKS)", "srun --mpi=pmix"},
        {"PMI_RANK=1 PMI_SIZE=2 SLURM_STEP_NUM_TASKS=2", "(PMI_SIZE)", "the mpirun of"},
        {"OMPI_COMM_WORLD_SIZE=2 SLURM_STEP_NUM_TASKS=1", "(OMPI_COMM_WORLD_SIZE)", "the mpirun of"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fv_started started = look(cases[i].environment);
        assert_int_equal(fv_started_check(&started, 1), FV_ERR_ARGUMENT);
        assert_non_null(strstr(fv_error_text(), "2 processes were started together"));
        assert_non_null(strstr(fv_error_text(), cases[i].told_by));
        assert_non_null(strstr(fv_error_text(), cases[i].mend));
        assert_int_equal(fv_started_check(&started, 2), FV_OK);
    }
}

static void test_fine(void **state)
{
    static const struct {
        const char *environment;
        int is_of_mpi;
    } cases[] = {{"", 0},
                 {"SLURM_NTASKS=8", 0}, /* a batch script */
                 {"SLURM_STEP_NUM_TASKS=1 SLURM_NTASKS=8", 0},
                 {"SLURM_STEP_NUM_TASKS=3 OMPI_COMM_WORLD_SIZE=1", 1}, /* mpirun in a step, or its daemon */
                 {"SLURM_STEP_NUM_TASKS=1 PMIX_RANK=0", 1},
                 {"SLURM_STEP_NUM_TASKS= PMI_SIZE=x", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fv_started started = look(cases[i].environment);
        assert_int_equal(started.is_of_mpi, cases[i].is_of_mpi);
        assert_int_equal(fv_started_check(&started, 1), FV_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_fine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
