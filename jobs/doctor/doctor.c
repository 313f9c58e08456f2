/* fovea doctor: what this machine has for fovea, what is missing, and how to get it. */
#include "jobs/doctor/doctor.h"

#include "jobs/jobs.h"
#include "jobs/terminal.h"

#include "fovea/base/process/allocation.h"
#include "fovea/ops/backend.h"
#include "fovea/comm/comm.h"
#include "fovea/io/versions.h"

#include <argp.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_RANKS = 0x301 };

void fv_doctor_print(const char *label, const char *format, ...)
{
    va_list args;
    printf("  %-16s ", label);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

fv_err fv_doctor_note(fv_doctor *d, int required, const char *what, const char *mend)
{
    d->n_required += required;
    return fv_buffer_print(&d->missing, "  %-16s %s%s\n", what, required ? "REQUIRED: " : "", mend);
}

static void print_program(void)
{
    puts("Program");
    fv_doctor_print("fovea", "%s", FOVEA_VERSION);
#ifdef __clang__
    fv_doctor_print("compiler", "clang %s", __clang_version__);
#else
    fv_doctor_print("compiler", "gcc %s", __VERSION__);
#endif
}

static fv_err print_libraries(fv_doctor *d)
{
    fv_version versions[16];
    char mpi[128], mend[160];
    size_t n = fv_versions_get(versions, 16);
    puts("\nLibraries");
    fv_comm_version(mpi, sizeof mpi);
    fv_doctor_print("MPI", "%s", mpi);
    for (size_t i = 0; i < n && i < 16; i++) {
        const fv_version *v = &versions[i];
        int differ = v->built_with[0] && strncmp(v->found, v->built_with, strlen(v->built_with)) != 0;
        fv_doctor_print(v->name, "%s%s%s", v->found, differ ? ", built with " : "",
                        differ ? v->built_with : "");
        if (!differ || !v->must_match)
            continue;
        snprintf(mend, sizeof mend, "load version %s, the one fovea was built with, or build fovea again",
                 v->built_with);
        FV_TRY(fv_doctor_note(d, 1, v->name, mend));
    }
    return FV_OK;
}

void fv_doctor_read_proc(const char *path, const char *key, char *out, size_t size)
{
    char line[512];
    out[0] = '\0';
    FILE *stream = fopen(path, "r");
    if (!stream)
        return;
    while (fgets(line, sizeof line, stream)) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = line + strlen(key);
        value += strspn(value, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    fclose(stream);
}

static int n_usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static fv_err print_processor(fv_doctor *d)
{
    char model[128], total[64], available[64];
    fv_doctor_read_proc("/proc/cpuinfo", "model name", model, sizeof model);
    fv_doctor_read_proc("/proc/meminfo", "MemTotal", total, sizeof total);
    fv_doctor_read_proc("/proc/meminfo", "MemAvailable", available, sizeof available);
    puts("\nProcessor");
    fv_doctor_print("model", "%s", model[0] ? model : "unknown");
    fv_doctor_print("instructions", "AVX2 %s, AVX-512 %s", __builtin_cpu_supports("avx2") ? "yes" : "no",
                    __builtin_cpu_supports("avx512f") ? "yes" : "no");
    fv_backend *backend = NULL;
    fv_err err = fv_backend_cpu_create(NULL, 0, &backend);
    if (err == FV_OK)
        fv_doctor_print("kernels", "%s, %d threads a rank", backend->table->name, backend->n_threads);
    fv_backend_destroy(backend);
    fv_doctor_print("cores", "%d usable of %ld", n_usable_cores(), sysconf(_SC_NPROCESSORS_ONLN));
    fv_doctor_print("memory", "%.1f GiB free of %.1f", strtod(available, NULL) / (1 << 20),
                    strtod(total, NULL) / (1 << 20));
    return err == FV_OK ? FV_OK : fv_doctor_note(d, 1, "kernels", fv_error_text());
}

/* 1 and the path of a command, or 0. */
static int find_command(const char *name, char *path, size_t size)
{
    const char *rest = getenv("PATH");
    while (rest && *rest) {
        size_t n = strcspn(rest, ":");
        if (snprintf(path, size, "%.*s/%s", (int)n, rest, name) < (int)size && access(path, X_OK) == 0)
            return 1;
        rest += n + (rest[n] == ':');
    }
    return 0;
}

/* Of Slurm's PMIx plugin, which lets ranks through that should wait (comm.h). */
static fv_err print_barrier(fv_doctor *d)
{
    const char *fence = getenv("SLURM_PMIX_FENCE");
    int waits = fv_comm_waits();
    fv_doctor_print("start of ranks", "%s; SLURM_PMIX_FENCE %s%s",
                    waits ? "they wait for each other" : "they rely on Slurm", fence ? "is " : "is not set",
                    fence ? fence : "");
    if (waits || (fence && strcmp(fence, "ring") == 0))
        return FV_OK;
    return fv_doctor_note(d, 0, "PMIx",
                          "only for srun over several nodes: export SLURM_PMIX_FENCE=ring, or build fovea "
                          "with PMIx's header (libpmix-dev)");
}

static fv_err print_launch(fv_doctor *d)
{
    char path[PATH_MAX];
    puts("\nLaunch");
    if (find_command("mpiexec", path, sizeof path)) {
        fv_doctor_print("mpiexec", "%s", path);
    } else {
        fv_doctor_print("mpiexec", "none");
        FV_TRY(fv_doctor_note(d, 0, "mpiexec", "only for several ranks: openmpi-bin (module openmpi)"));
    }
    int found = find_command("sbatch", path, sizeof path);
    fv_doctor_print("Slurm", "%s", found ? path : "none; runs start by hand");
    if (found)
        FV_TRY(print_barrier(d));
    char job[64];
    const char *tasks = getenv("SLURM_NTASKS"), *nodes = getenv("SLURM_JOB_NUM_NODES");
    fv_allocation_job(job, sizeof job);
    if (job[0])
        fv_doctor_print("Slurm job", "%s, %s tasks on %s nodes", job, tasks ? tasks : "1",
                        nodes ? nodes : "1");
    return FV_OK;
}

static fv_err examine(fv_doctor *d)
{
    print_program();
    FV_TRY(print_libraries(d));
    FV_TRY(print_processor(d));
    FV_TRY(fv_doctor_gpu(d));
    FV_TRY(print_launch(d));
    if (d->missing.size)
        printf("\nMissing\n%s", d->missing.data);
    puts(d->n_required ? "\nfovea cannot run here" : "\nfovea can run here");
    return FV_OK;
}

static int examine_machine(void)
{
    fv_doctor d = {0};
    fv_err err = examine(&d);
    fv_buffer_fini(&d.missing);
    return err == FV_OK && d.n_required ? FV_EXIT_FAILED : fv_job_finish(err);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key != KEY_RANKS)
        return ARGP_ERR_UNKNOWN;
    *(int *)state->input = 1;
    return 0;
}

int fv_job_doctor(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"ranks", KEY_RANKS, NULL, 0,
         "tell instead where every rank that was started with this one is: node, cores, "
         "threads, device",
         0},
        {0}};
    static const struct argp parser = {
        .options = options,
        .parser = parse,
        .doc =
            "Tell what this machine has for fovea: versions, processor, GPUs, memory, launchers; and what is "
            "missing and how to get it. The exit status is 0 if fovea can run, 1 if something required is "
            "missing, "
            "or with --ranks if a rank is left without one of the devices of its node."};
    int is_of_ranks = 0;
    fv_terminal_parse(&parser, argc, argv, &is_of_ranks);
    return is_of_ranks ? fv_doctor_ranks() : examine_machine();
}
