/* fovea bench: the measurements that were asked for, one after the other, on one model. */
#include "jobs/bench/bench.h"

#include "jobs/bench/shapes.h"
#include "jobs/jobs.h"

#include "fovea/base/file.h"
#include "fovea/base/process/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    fv_err (*run)(fv_bench *);
} benches[] = {
#define X(name, help) {#name, fv_bench_##name},
    FV_BENCH_LIST(X)
#undef X
};

static fv_err find_shape(fv_bench *b, fv_model_shape *shape)
{
    fv_bench_options *o = &b->options;
    b->shape_name = o->runtime.model ? o->runtime.model : o->shape ? o->shape : "tiny";
    if (o->runtime.model)
        return FV_OK;
    o->runtime.shape = shape;
    return fv_bench_shape_find(b->shape_name, shape);
}

static double parameters(const fv_bench *b)
{
    const fv_param_list *params = &fv_model_layout(b->runtime.model)->params;
    double n = 0;
    for (int i = 0; i < params->n; i++)
        n += (double)params->items[i].rows * (double)params->items[i].cols;
    return n;
}

static void print_head(const fv_bench *b)
{
    const fv_bench_options *o = &b->options;
    if (b->runtime.world->rank != 0 || (o->json && strcmp(o->json, "-") == 0))
        return;
    printf("%s%s, %.2f billion numbers in %s, on %s\n", b->shape_name, o->runtime.model ? "" : " at random",
           parameters(b) * 1e-9, fv_precision_names[o->runtime.precision], b->runtime.backend->table->name);
    printf("memory %.1f GB/s, the better of a copy and a sum; products of %d^3 %.4g GFLOP/s\n",
           b->memory_rate * 1e-9, b->product_size, b->product_rate * 1e-9);
    printf("medians of %d after one that does not count, and how far the slowest and the fastest are off;\n"
           "in brackets what those two rates allow\n\n",
           o->repeats);
    fflush(stdout);
}

static fv_err check_lengths(const fv_bench *b)
{
    const fv_bench_options *o = &b->options;
    int positions = fv_model_shape_of(b->runtime.model)->text.max_positions;
    FV_CHECK(o->prompt + o->generated <= positions, FV_ERR_ARGUMENT,
             "--prompt %d and --new %d make %d tokens, but the model has positions for %d", o->prompt,
             o->generated, o->prompt + o->generated, positions);
    FV_CHECK(o->length < positions, FV_ERR_ARGUMENT,
             "--length is %d, but the model has positions for %d tokens", o->length, positions);
    return FV_OK;
}

/* One that finds too little memory leaves the others their turn; the first failure is what is told. */
static fv_err measure(fv_bench *b)
{
    fv_err worst = FV_OK, err = FV_OK;
    fv_error_kept kept;
    FV_TRY(check_lengths(b));
    FV_TRY(fv_bench_find_ceilings(b));
    print_head(b);
    for (int i = 0; i < FV_N_BENCHES && (err == FV_OK || err == FV_ERR_MEMORY); i++) {
        if (!b->options.asked[i])
            continue;
        err = fv_comm_agree(b->runtime.world, benches[i].run(b));
        if (err == FV_OK || worst != FV_OK)
            continue;
        worst = fv_error_prefix(err, "%s", benches[i].name);
        fv_error_keep(&kept);
    }
    if (worst != FV_OK)
        fv_error_restore(&kept);
    return worst;
}

static fv_err fill_json(const fv_bench *b, fv_json *root)
{
    const fv_bench_options *o = &b->options;
    FV_TRY(fv_json_set_text(root, "version", FOVEA_VERSION));
    FV_TRY(fv_json_set_text(root, "backend", b->runtime.backend->table->name));
    FV_TRY(fv_json_set_text(root, "precision", fv_precision_names[o->runtime.precision]));
    FV_TRY(fv_json_set_text(root, "model", b->shape_name));
    FV_TRY(fv_json_set(root, "parameters", fv_json_make_real(parameters(b))));
    FV_TRY(fv_json_set(root, "ranks", fv_json_make_integer(b->runtime.world->size)));
    FV_TRY(fv_json_set(root, "repeats", fv_json_make_integer(o->repeats)));
    FV_TRY(fv_json_set(root, "memory_bytes_per_s", fv_json_make_real(b->memory_rate)));
    FV_TRY(fv_json_set(root, "product_flops_per_s", fv_json_make_real(b->product_rate)));
    return fv_json_set(root, "figures", fv_json_copy(b->figures));
}

static fv_err write_json(const fv_bench *b)
{
    const char *path = b->options.json;
    fv_json *root = fv_json_make_object();
    fv_buffer text = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fill_json(b, root));
    FV_TRY_DONE(fv_json_print(root, 2, &text));
    FV_TRY_DONE(fv_buffer_append(&text, "\n", 1));
    if (strcmp(path, "-") == 0)
        fwrite(text.data, 1, text.size, stdout);
    else
        err = fv_file_write(path, text.data, text.size);
done:
    fv_buffer_fini(&text);
    fv_json_destroy(root);
    return err;
}

/* What was measured before a failure is kept. */
static fv_err run(fv_bench *b)
{
    fv_model_shape shape;
    fv_error_kept kept;
    b->figures = fv_json_make_array();
    FV_CHECK(b->figures, FV_ERR_MEMORY, "cannot allocate a list of figures");
    FV_TRY(find_shape(b, &shape));
    if (b->options.is_beside_any_order)
        FV_TRY(fv_bench_find_any_order(b));
    if (b->options.asked[FV_BENCH_start])
        FV_TRY(fv_bench_find_start(b));
    FV_TRY(fv_runtime_open(&b->runtime, &b->options.runtime));
    fv_err err = measure(b);
    fv_error_keep(&kept);
    fv_err written = b->options.json && b->runtime.world->rank == 0 ? write_json(b) : FV_OK;
    if (err == FV_OK)
        return written;
    fv_error_restore(&kept);
    return err;
}

int fv_job_bench(int argc, char **argv)
{
    fv_bench bench = {.runtime.ends_by_interrupt = 1};
    fv_bench_options_parse(argc, argv, &bench.options);
    fv_err err = fv_stop_on_interrupt();
    if (err == FV_OK)
        err = run(&bench);
    fv_json_destroy(bench.figures);
    fv_json_destroy(bench.any_order);
    return fv_runtime_finish(&bench.runtime, err);
}
