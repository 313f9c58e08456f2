/* Graphs: what a body queues is captured from its stream, and launched as one from then on.
 *
 * The first run is an ordinary one: it makes what is made once, such as the choice of algorithms, and takes
 * the workspace that it needs. The second is captured. */
#include "cuda.cuh"

#include <stdlib.h>

struct fv_graph {
    cudaGraphExec_t record; /* NULL: there is none */
    int has_run;
};

fv_err fv_cuda_graph_create(fv_backend *backend, fv_graph **out)
{
    (void)backend;
    *out = (fv_graph *)calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a graph");
    return FV_OK;
}

void fv_cuda_graph_destroy(fv_backend *backend, fv_graph *graph)
{
    (void)backend;
    if (graph->record)
        (void)cudaGraphExecDestroy(graph->record);
    free(graph);
}

/* Until it is unset nobody asks the stream. */
static void set_recording(fv_cuda_state *s, int is_recording)
{
    (void)pthread_mutex_lock(&s->asking);
    s->is_recording = is_recording;
    (void)pthread_mutex_unlock(&s->asking);
}

static fv_err record(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    cudaStream_t stream = fv_cuda_compute(backend);
    cudaGraph_t calls = nullptr;
    set_recording(s, 1);
    cudaError_t code = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    fv_err err = fv_cuda_result(code, "cudaStreamBeginCapture");
    if (err == FV_OK) {
        err = body(context);
        code = cudaStreamEndCapture(stream, &calls);
    }
    set_recording(s, 0);
    if (err == FV_OK)
        err = fv_cuda_result(code, "the capture of a graph");
    if (err == FV_OK)
        err = fv_cuda_result(cudaGraphInstantiate(&graph->record, calls, 0), "the making of a graph");
    if (calls)
        (void)cudaGraphDestroy(calls);
    return err;
}

fv_err fv_cuda_graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    if (!graph->has_run || fv_cuda_is_exact()) { /* where each kernel is waited for, each is launched */
        FV_TRY(body(context));
        graph->has_run = 1;
        return FV_OK;
    }
    if (!graph->record)
        FV_TRY(record(backend, graph, body, context));
    FV_CUDA(cudaGraphLaunch(graph->record, fv_cuda_compute(backend)));
    return fv_cuda_launched("a recorded graph");
}
