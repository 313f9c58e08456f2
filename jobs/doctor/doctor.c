/* fovea doctor: what this machine has for fovea, what is missing, and how to get it. */
#include "jobs/doctor/doctor.h"

#include "jobs/jobs.h"
#include "jobs/terminal.h"

#include "fovea/base/process/allocation.h"
#include "fovea/ops/backend.h"
#include "fovea/base/buffer.h"
#include "fovea/comm/comm.h"
#include "fovea/ops/cuda.h"
#include "fovea/comm/driver.h"
#include "fovea/io/versions.h"

#include <argp.h>
#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_RANKS = 0x301 };

/* What is missing, in the order found. */
typedef struct doctor {
    fv_buffer missing; /* owned */
    int n_required;
} doctor;

static void print_line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print_line(const char *label, const char *format, ...)
{
    va_list args;
    printf("  %-16s ", label);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static fv_err note_missing(doctor *d, int required, const char *what, const char *mend)
{
    d->n_required += required;
    return fv_buffer_print(&d->missing, "  %-16s %s%s\n", what, required ? "REQUIRED: " : "", mend);
}

static void print_program(void)
{
    puts("Program");
    print_line("fovea", "%s", FOVEA_VERSION);
#ifdef __clang__
    print_line("compiler", "clang %s", __clang_version__);
#else
    print_line("compiler", "gcc %s", __VERSION__);
#endif
}

static fv_err print_libraries(doctor *d)
{
    fv_version versions[16];
    char mpi[128], mend[160];
    size_t n = fv_versions_get(versions, 16);
    puts("\nLibraries");
    fv_comm_version(mpi, sizeof mpi);
    print_line("MPI", "%s", mpi);
    for (size_t i = 0; i < n && i < 16; i++) {
        const fv_version *v = &versions[i];
        int differ = v->built_with[0] && strncmp(v->found, v->built_with, strlen(v->built_with)) != 0;
        print_line(v->name, "%s%s%s", v->found, differ ? ", built with " : "", differ ? v->built_with : "");
        if (!differ || !v->must_match)
            continue;
        snprintf(mend, sizeof mend, "load version %s, the one fovea was built with, or build fovea again",
                 v->built_with);
        FV_TRY(note_missing(d, 1, v->name, mend));
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

static fv_err print_processor(doctor *d)
{
    char model[128], total[64], available[64];
    fv_doctor_read_proc("/proc/cpuinfo", "model name", model, sizeof model);
    fv_doctor_read_proc("/proc/meminfo", "MemTotal", total, sizeof total);
    fv_doctor_read_proc("/proc/meminfo", "MemAvailable", available, sizeof available);
    puts("\nProcessor");
    print_line("model", "%s", model[0] ? model : "unknown");
    print_line("instructions", "AVX2 %s, AVX-512 %s", __builtin_cpu_supports("avx2") ? "yes" : "no",
               __builtin_cpu_supports("avx512f") ? "yes" : "no");
    fv_backend *backend = NULL;
    fv_err err = fv_backend_cpu_create(NULL, 0, &backend);
    if (err == FV_OK)
        print_line("kernels", "%s, %d threads a rank", backend->table->name, backend->n_threads);
    fv_backend_destroy(backend);
    print_line("cores", "%d usable of %ld", n_usable_cores(), sysconf(_SC_NPROCESSORS_ONLN));
    print_line("memory", "%.1f GiB free of %.1f", strtod(available, NULL) / (1 << 20),
               strtod(total, NULL) / (1 << 20));
    return err == FV_OK ? FV_OK : note_missing(d, 1, "kernels", fv_error_text());
}

/* The first of names (NULL-terminated) that can be loaded. */
static void *load_first(const char *const *names)
{
    void *library = NULL;
    for (; *names && !library; names++)
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return library;
}

static fv_err print_driver(doctor *d)
{
    fv_driver driver;
    fv_driver_ask(&driver);
    if (!driver.is_here) {
        print_line("driver", "none");
        return note_missing(d, 0, "CUDA driver", "only for GPUs: the driver's libcuda.so.1 (nvidia-driver)");
    }
    if (driver.code == 0)
        print_line("driver", "for CUDA %d.%d, %d devices", driver.version / 1000, driver.version % 1000 / 10,
                   driver.n_devices);
    else
        print_line("driver", "here, but finds no device (code %d)", driver.code);
    return FV_OK;
}

/* The CUDA back end of fovea, and through it the devices. */
static fv_err print_devices(doctor *d)
{
    char path[PATH_MAX], text[4096];
    void *describe = NULL;
    if (fv_cuda_find(path, sizeof path) != FV_OK) {
        print_line("back end", "%s is not built", FV_CUDA_LIBRARY);
        return note_missing(d, 0, FV_CUDA_LIBRARY,
                            "only for GPUs: the CUDA toolkit, then cmake --preset cuda");
    }
    if (fv_cuda_symbol("fv_cuda_describe", &describe) != FV_OK) {
        print_line("back end", "does not load");
        return note_missing(d, 0, FV_CUDA_LIBRARY, fv_error_text());
    }
    if (((fv_cuda_describe_function)describe)(text, sizeof text) < 0) {
        print_line("back end", "%s", text);
        return FV_OK;
    }
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;)
        print_line(line == text ? "back end" : "", "%s", line);
    return FV_OK;
}

static fv_err print_cublas(doctor *d)
{
    void *library =
        load_first((const char *const[]){"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL});
    int (*get)(int property, int *out) =
        library ? (int (*)(int, int *))dlsym(library, "cublasGetProperty") : NULL;
    int part[3];
    for (int i = 0; i < 3; i++)
        if (!get || get(i, &part[i]) != 0) {
            print_line("cuBLAS", "none");
            return note_missing(d, 0, "cuBLAS", "only for GPUs: the CUDA toolkit's libcublas (module cuda)");
        }
    print_line("cuBLAS", "%d.%d.%d", part[0], part[1], part[2]);
    return FV_OK;
}

static fv_err print_nccl(doctor *d)
{
    void *library = load_first((const char *const[]){"libnccl.so.2", NULL});
    int (*version)(int *out) = library ? (int (*)(int *))dlsym(library, "ncclGetVersion") : NULL;
    int number = 0;
    if (!version || version(&number) != 0) {
        print_line("NCCL", "none");
        return note_missing(d, 0, "NCCL", "only for several GPUs: libnccl2 (module nccl)");
    }
    print_line("NCCL", "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
    return FV_OK;
}

static fv_err print_gpu(doctor *d)
{
    puts("\nGPU");
    FV_TRY(print_driver(d));
    FV_TRY(print_devices(d));
    FV_TRY(print_cublas(d));
    return print_nccl(d);
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
static fv_err print_barrier(doctor *d)
{
    const char *fence = getenv("SLURM_PMIX_FENCE");
    int waits = fv_comm_waits();
    print_line("start of ranks", "%s; SLURM_PMIX_FENCE %s%s",
               waits ? "they wait for each other" : "they rely on Slurm", fence ? "is " : "is not set",
               fence ? fence : "");
    if (waits || (fence && strcmp(fence, "ring") == 0))
        return FV_OK;
    return note_missing(d, 0, "PMIx",
                        "only for srun over several nodes: export SLURM_PMIX_FENCE=ring, or build fovea "
                        "with PMIx's header (libpmix-dev)");
}

static fv_err print_launch(doctor *d)
{
    char path[PATH_MAX];
    puts("\nLaunch");
    if (find_command("mpiexec", path, sizeof path)) {
        print_line("mpiexec", "%s", path);
    } else {
        print_line("mpiexec", "none");
        FV_TRY(note_missing(d, 0, "mpiexec", "only for several ranks: openmpi-bin (module openmpi)"));
    }
    int found = find_command("sbatch", path, sizeof path);
    print_line("Slurm", "%s", found ? path : "none; runs start by hand");
    if (found)
        FV_TRY(print_barrier(d));
    char job[64];
    const char *tasks = getenv("SLURM_NTASKS"), *nodes = getenv("SLURM_JOB_NUM_NODES");
    fv_allocation_job(job, sizeof job);
    if (job[0])
        print_line("Slurm job", "%s, %s tasks on %s nodes", job, tasks ? tasks : "1", nodes ? nodes : "1");
    return FV_OK;
}

static fv_err examine(doctor *d)
{
    print_program();
    FV_TRY(print_libraries(d));
    FV_TRY(print_processor(d));
    FV_TRY(print_gpu(d));
    FV_TRY(print_launch(d));
    if (d->missing.size)
        printf("\nMissing\n%s", d->missing.data);
    puts(d->n_required ? "\nfovea cannot run here" : "\nfovea can run here");
    return FV_OK;
}

static int examine_machine(void)
{
    doctor d = {0};
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
