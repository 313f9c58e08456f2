#include "jobs/runtime.h"

#include "jobs/jobs.h"
#include "jobs/option.h"

#include "fovea/base/process/launcher.h"
#include "fovea/base/log.h"
#include "fovea/comm/device.h"
#include "fovea/comm/driver.h"
#include "fovea/ops/cuda.h"
#include "fovea/base/meter.h"
#include "fovea/base/process/stop.h"
#include "fovea/base/point.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MODEL = 'm', KEY_KERNELS = 0x1001, KEY_THREADS, KEY_CHUNKS, KEY_PRECISION, KEY_BACKEND };

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "DIR", 0, "the model: a Hugging Face folder (required)", 1},
    {"threads", KEY_THREADS, "N", 0,
     "threads of a process (default: as OMP_NUM_THREADS says, else all cores)", 2},
    {"backend", KEY_BACKEND, "NAME", 0, "what computes: auto, cpu or cuda (auto: cuda if it can)", 2},
    {"kernels", KEY_KERNELS, "NAME", 0, "avx512, avx2 or portable (default: the best of this processor)", 2},
    {"chunks", KEY_CHUNKS, "N", 0, "of the sums that ranks share, a multiple of these: 1, 2, 4 or 8 (4)", 2},
    {"precision", KEY_PRECISION, "NAME", 0,
     "as what weights, activations and cache are stored: fp32 or bf16 (fp32)", 2},
    {0}};

#define AT(member) offsetof(fv_runtime_options, member)
static const fv_option table[] = {
    {KEY_MODEL, FV_OPTION_PATH, AT(model)},
    {KEY_BACKEND, FV_OPTION_CHOICE, AT(backend), .names = fv_backend_kind_names},
    {KEY_KERNELS, FV_OPTION_TEXT, AT(kernels)},
    {KEY_THREADS, FV_OPTION_INT, AT(threads), .low = 1, .high = 1024},
    {KEY_CHUNKS, FV_OPTION_INT, AT(chunks), .low = 1, .high = FV_MAX_CHUNKS},
    {KEY_PRECISION, FV_OPTION_CHOICE, AT(precision), .names = fv_precision_names},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    fv_runtime_options *out = state->input;
    if (key != ARGP_KEY_END)
        return fv_option_set(table, options, key, argument, state, out);
    if (!out->model && !out->needs_no_model)
        argp_error(state, "--model DIR is required");
    return 0;
}

const struct argp fv_runtime_argp = {.options = options, .parser = parse};

fv_err fv_runtime_part_judges(fv_runtime *runtime, int n_judges)
{
    fv_comm *all = runtime->world;
    if (n_judges == 0)
        return FV_OK;
    runtime->all = all;
    runtime->is_judge = all->rank >= all->size - n_judges;
    runtime->world = NULL;
    return fv_comm_split(all, runtime->is_judge, all->rank, &runtime->world);
}

fv_comm *fv_runtime_all(const fv_runtime *runtime)
{
    return runtime->all ? runtime->all : runtime->world;
}

static fv_err check_cuda(fv_runtime *runtime, const fv_runtime_options *chosen)
{
    int n_ranks = fv_runtime_all(runtime)->size;
    FV_CHECK(chosen->precision == FV_PRECISION_BF16, FV_ERR_ARGUMENT,
             "the back end cuda computes in bf16, and precision is %s: set precision=bf16 (--precision bf16)",
             fv_precision_names[chosen->precision]);
    FV_CHECK(
        n_ranks == 1, FV_ERR_ARGUMENT,
        "the back end cuda works in one process, and there are %d ranks: start one, or compute on the cpu",
        n_ranks);
    return FV_OK;
}

/* Why an automatic choice leaves cuda alone; NULL: no reason. */
static const char *against_cuda(const fv_runtime *runtime, const fv_runtime_options *chosen)
{
    if (fv_runtime_all(runtime)->size > 1)
        return "there are several ranks, and cuda works in one process";
    if (chosen->precision != FV_PRECISION_BF16)
        return "precision is fp32, and the GPU that is here computes in bf16 (precision=bf16, --precision "
               "bf16)";
    return chosen->needs_fp32;
}

/* Several processes compute on the cpu; whether they leave a GPU alone, one of them looks. */
static int sees_device(const fv_runtime *runtime)
{
    fv_driver driver = {0};
    if (fv_runtime_all(runtime)->rank == 0)
        fv_driver_ask(&driver);
    return driver.n_devices > 0;
}

/* -1: there is none. */
static fv_err find_device(fv_runtime *runtime, const fv_runtime_options *chosen, int *out)
{
    fv_device device;
    *out = -1;
    if (chosen->backend == FV_BACKEND_CPU)
        return FV_OK;
    if (chosen->backend == FV_BACKEND_AUTO && fv_runtime_all(runtime)->size > 1) {
        *out = sees_device(runtime) ? 0 : -1;
        return FV_OK;
    }
    if (chosen->backend == FV_BACKEND_CUDA)
        FV_TRY(check_cuda(runtime, chosen));
    FV_TRY(fv_device_choose(runtime->world, &device));
    *out = device.index;
    return FV_OK;
}

fv_err fv_runtime_open_backend(fv_runtime *runtime, const fv_runtime_options *chosen)
{
    fv_backend_args args = {.kind = chosen->backend, .isa = chosen->kernels, .n_threads = chosen->threads};
    FV_TRY(find_device(runtime, chosen, &args.device));
    if (chosen->backend == FV_BACKEND_AUTO && args.device < 0)
        args.kind = FV_BACKEND_CPU; /* no GPU is seen here: there is no choice to tell of */
    args.against = against_cuda(runtime, chosen);
    if (chosen->is_plan && chosen->backend == FV_BACKEND_CUDA && args.device < 0) {
        args.device = FV_CUDA_NO_DEVICE;
        FV_LOG_ROOT(INFO, "no device is here: planned for one like an H100; memory_gigabytes says how large");
    }
    FV_TRY(fv_backend_create(&args, &runtime->backend_kind, &runtime->backend));
    return chosen->is_plan ? fv_backend_plan_create(runtime->backend, &runtime->backend) : FV_OK;
}

fv_err fv_runtime_open(fv_runtime *runtime, const fv_runtime_options *chosen)
{
    if (!runtime->world)
        FV_TRY(fv_comm_world(&runtime->world));
    fv_log_init(fv_runtime_all(runtime)->rank, FV_LOG_INFO);
    FV_TRY(fv_comm_agree(runtime->world, fv_point("start")));
    FV_TRY(fv_comm_agree(runtime->world, fv_runtime_open_backend(runtime, chosen)));
    int tensor = chosen->tensor ? chosen->tensor : runtime->world->size;
    FV_TRY(fv_comm_agree(runtime->world, fv_mesh_init(&runtime->mesh, runtime->world, tensor)));
    const fv_model_args args = {.backend = runtime->backend,
                                .tensor = runtime->mesh.tensor,
                                .folder = chosen->model,
                                .shape = chosen->shape,
                                .data_ranks = runtime->mesh.data->size,
                                .precision = fv_precision_of(chosen->precision),
                                .chunks = chosen->chunks};
    fv_err err = fv_model_open(&args, &runtime->model);
    if (err == FV_ERR_MEMORY)
        fv_error_prefix(err, "the weights do not fit: precision bf16 takes half of fp32");
    return fv_comm_agree(runtime->world, err);
}

fv_err fv_runtime_room(const fv_runtime *runtime, double *out)
{
    static const double margin = 2.0 * (1 << 30), margin_share = 0.02;
    size_t bytes = 0;
    FV_TRY(fv_backend_free_bytes(runtime->backend, &bytes));
    double there = (double)runtime->backend->memory.bytes;
    *out = bytes > 0 ? fmax(1, ((double)bytes + there) * (1 - margin_share) - margin - there) : 0;
    return FV_OK;
}

fv_err fv_runtime_load_processor(const fv_runtime *runtime, const char *model, const fv_chat *chat,
                                 fv_processor *out)
{
    const fv_model_shape *shape = fv_model_shape_of(runtime->model);
    FV_CHECK(shape->vision.depth > 0, FV_ERR_ARGUMENT,
             "%s is a text model: it cannot take images; give a model with a vision tower", model);
    FV_TRY(fv_processor_load(model, out));
    FV_CHECK(out->patch == shape->vision.patch && out->merge == shape->vision.merge &&
                 out->temporal_patch == shape->vision.temporal_patch,
             FV_ERR_SHAPE, "%s: the image processor's patches are not those of config.json", model);
    FV_CHECK(chat->image_pad == shape->image_id, FV_ERR_FORMAT,
             "%s: <|image_pad|> is token %d to the tokenizer but %d to config.json", model, chat->image_pad,
             shape->image_id);
    return FV_OK;
}

static int report(const fv_runtime *runtime, fv_err err)
{
    if (err == FV_OK)
        return 0;
    if (err == FV_STOPPED) {
        FV_LOG_ROOT(INFO, "%s", fv_error_text());
        return runtime->ends_by_interrupt ? fv_job_interrupted() : FV_EXIT_AGAIN;
    }
    fv_log_note(FV_LOG_ERROR, "%s", fv_error_text());
    fv_error_scope scope = fv_error_scope_get();
    if (scope != FV_ERROR_AGREED_OTHER)
        fv_job_finish(err);
    int is_alone = scope == FV_ERROR_OWN || err == FV_ERR_COMM; /* a lost rank is waited for in vain */
    if (is_alone && fv_runtime_all(runtime) && fv_runtime_all(runtime)->size > 1) {
        fv_launcher_release(); /* an abort is the launcher's work */
        fv_comm_abort(fv_runtime_all(runtime), FV_EXIT_FAILED);
    }
    return FV_EXIT_FAILED;
}

void fv_runtime_free_launcher(fv_runtime *runtime, fv_err err)
{
    double is_held = fv_launcher_is_held();
    int is_well = err == FV_OK || err == FV_STOPPED;
    if (is_well && fv_launcher_is_known() && fv_comm_all_reduce_max(runtime->world, &is_held) == FV_OK)
        runtime->obeys_launcher = is_held > 0;
    if (runtime->obeys_launcher)
        fv_launcher_hold_no_more();
    else
        fv_launcher_release();
}

/* The launcher kills all ranks: what a rank has to tell is told before another one lets the launcher go on.
 */
static void obey_launcher(const fv_runtime *runtime)
{
    if (fv_comm_barrier(runtime->world) != FV_OK)
        fv_log_note(FV_LOG_WARN, "%s", fv_error_text());
    fv_launcher_obey();
}

int fv_runtime_finish(fv_runtime *runtime, fv_err err)
{
    fv_meter_stop();
    fv_stop_say_no_more();
    int status = report(runtime, err);
    if (status == 0 || status == FV_EXIT_AGAIN)
        fv_launcher_leave();
    if (runtime->obeys_launcher)
        obey_launcher(runtime);
    fv_model_destroy(runtime->model);
    fv_backend_destroy(runtime->backend);
    fv_mesh_fini(&runtime->mesh);
    fv_comm_destroy(runtime->world);
    fv_comm_destroy(runtime->all);
    *runtime = (fv_runtime){0};
    return status;
}
