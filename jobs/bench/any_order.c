/* What the same bits cost: the same measurements in a process of its own, whose products may be summed in any
 * order (kernels/cuda/gemm/gemm_any_order.cu). A back end that has one way alone shows how far two processes
 * are apart. */
#include "jobs/bench/bench.h"
#include "jobs/bench/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE "FOVEA_CUDA_ANY_ORDER"

static fv_err write_command(const fv_bench_options *o, fv_buffer *command)
{
    static const char set[] = "export " VARIABLE "=1;";
    FV_TRY(fv_buffer_append(command, set, strlen(set)));
    FV_TRY(fv_bench_command_begin(command, "bench"));
    for (int i = 1; i < o->argc; i++)
        FV_TRY(fv_bench_command_add(command, o->argv[i]));
    FV_TRY(fv_bench_command_add(command, "--json")); /* the last one counts */
    FV_TRY(fv_bench_command_add(command, "-"));
    return fv_bench_command_end(command);
}

static fv_err hear_all(fv_child *child, fv_buffer *text)
{
    fv_slice line;
    for (int is_there = 1; is_there;) {
        FV_TRY(fv_bench_command_hear(child, &line, &is_there));
        if (is_there)
            FV_TRY(fv_buffer_append(text, line.data, line.size));
    }
    return FV_OK;
}

static fv_err listen(const char *command, fv_buffer *text)
{
    fv_child *child;
    FV_TRY(fv_child_start(command, &child));
    fv_err err = hear_all(child, text);
    fv_child_destroy(child);
    return err;
}

fv_err fv_bench_find_any_order(fv_bench *b)
{
    fv_buffer command = {0}, text = {0};
    if (getenv(VARIABLE)) /* this is that process */
        return FV_OK;
    FV_CHECK(!getenv("OMPI_COMM_WORLD_SIZE"), FV_ERR_ARGUMENT,
             "--without-same-bits compares two processes: start it without mpirun");
    fv_err err = write_command(&b->options, &command);
    if (err == FV_OK)
        err = listen(command.data, &text);
    if (err == FV_OK && text.size == 0)
        err = FV_FAIL(FV_ERR_INTERNAL, "the process without the same bits ended without figures");
    if (err == FV_OK)
        err = fv_json_parse(text.data, text.size, "figures without the same bits", &b->any_order);
    fv_buffer_fini(&command);
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_bench_tell_any_order(const fv_bench *b, const fv_bench_figure *figure, int is_printed, fv_json *one)
{
    const char *name = "", *unit = figure->unit ? figure->unit : "s";
    double other = 0, rate = figure->seconds.median;
    const fv_json *found =
        fv_json_at(fv_json_get(b->any_order, "figures"), fv_json_size(b->figures) - 1 /* with this one */);
    FV_TRY(fv_json_get_string(found, "name", &name));
    FV_TRY(fv_json_get_real(found, "value", &other));
    if (strcmp(name, figure->name) != 0 || other <= 0)
        return FV_OK; /* it failed there */
    if (figure->unit)
        rate = figure->units / rate;
    double cost = figure->unit ? 1 - rate / other : rate / other - 1;
    if (is_printed)
        printf("%-8s with the same bits %.5g, without %.5g %s%s: they cost %.1f %%\n", "", rate, other, unit,
               figure->unit ? "/s" : "", 100 * cost);
    FV_TRY(fv_json_set(one, "without_same_bits", fv_json_make_real(other)));
    return fv_json_set(one, "cost_of_same_bits", fv_json_make_real(cost));
}
