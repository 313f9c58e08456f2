#include "record.h"

#include "op_fields.h"

#include <stdlib.h>
#include <string.h>

typedef struct call {
    fv_op op;
    void *args; /* owned */
} call;

struct fv_graph {
    call *calls; /* owned */
    int n_calls, capacity;
    int is_complete; /* by a first run */
    int at;          /* calls of the run under way */
};

fv_err fv_record_create(fv_backend *backend, fv_graph **out)
{
    (void)backend;
    *out = calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a graph");
    return FV_OK;
}

static void clear(fv_graph *graph)
{
    while (graph->n_calls > 0)
        free(graph->calls[--graph->n_calls].args);
    graph->is_complete = 0;
}

void fv_record_destroy(fv_backend *backend, fv_graph *graph)
{
    (void)backend;
    clear(graph);
    free(graph->calls);
    free(graph);
}

static fv_err append(fv_graph *graph, fv_op op, const void *args)
{
    if (graph->n_calls == graph->capacity) {
        int capacity = 2 * graph->capacity + 64;
        call *calls = realloc(graph->calls, (size_t)capacity * sizeof *calls);
        FV_CHECK(calls, FV_ERR_MEMORY, "cannot allocate a graph of %d calls", capacity);
        graph->calls = calls;
        graph->capacity = capacity;
    }
    size_t bytes = fv_op_args_bytes(op);
    void *copy = malloc(bytes);
    FV_CHECK(copy, FV_ERR_MEMORY, "cannot allocate the arguments of a call");
    memcpy(copy, args, bytes);
    graph->calls[graph->n_calls++] = (call){op, copy};
    return FV_OK;
}

fv_err fv_record_call(fv_graph *graph, fv_op op, const void *args)
{
    int i = graph->at++;
    if (!graph->is_complete)
        return append(graph, op, args);
    FV_CHECK(i < graph->n_calls, FV_ERR_INTERNAL,
             "%s: call %d of a graph that had %d calls when it was recorded", fv_op_name(op), i + 1,
             graph->n_calls);
    const call *recorded = &graph->calls[i];
    FV_CHECK(op == recorded->op, FV_ERR_INTERNAL, "%s: call %d of a graph that was recorded with %s there",
             fv_op_name(op), i + 1, fv_op_name(recorded->op));
    const char *other = fv_op_difference(op, args, recorded->args);
    FV_CHECK(!other, FV_ERR_INTERNAL, "%s: call %d of a graph has another %s than was recorded",
             fv_op_name(op), i + 1, other);
    return FV_OK;
}

fv_err fv_record_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    graph->at = 0;
    backend->recording = graph;
    fv_err err = body(context);
    backend->recording = NULL;
    if (err == FV_OK && graph->is_complete && graph->at < graph->n_calls)
        err = FV_FAIL(FV_ERR_INTERNAL, "%d calls of a graph that had %d when it was recorded", graph->at,
                      graph->n_calls);
    if (err == FV_OK)
        graph->is_complete = 1;
    else
        clear(graph);
    return err;
}
