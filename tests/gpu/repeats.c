/* The same backward pass again and again: every gradient must have the same bits.
 *
 * usage: gpu_repeats SHAPE [BACKEND [TIMES]] */
#include "case.h"

#include "fovea/ops/staging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_GROUPS = 4, N_SAMPLES = 5 };

/* Samples that nobody drew. */
static void make_sample(const gpu_case *c, const fv_group *group, fv_response *r)
{
    int number = (int)group->row, n = 1 + case_draw(number, r->sample, 0, CASE_TURN);
    for (int i = 0; i < n; i++)
        case_push(r, case_draw(number, r->sample, 100 + i, 200), 1, 0);
    if (group->has_image && r->sample % 2)
        case_show(c, group, r);
    for (int i = 0; i < n / 2; i++)
        case_push(r, case_draw(number, r->sample, 300 + i, 200), 1, 0);
}

static void pack(gpu_case *c, fv_group *groups, fv_packed *out)
{
    fv_tree trees[N_GROUPS];
    for (int g = 0; g < N_GROUPS; g++) {
        case_group(c, g + 1, N_SAMPLES, &groups[g]);
        for (int i = 0; i < N_SAMPLES; i++)
            make_sample(c, &groups[g], &groups[g].responses[i]);
        trees[g] = (fv_tree){&groups[g], 0, N_SAMPLES};
    }
    *out = (fv_packed){0};
    must(fv_packed_fill(out, &c->shape, trees, N_GROUPS, case_view, c));
}

/* Gradients of a weighted sum of log-probs and entropies. */
static void run(gpu_case *c, const fv_packed *packed, float *logprobs, fv_weights *grads, float *out)
{
    size_t n = (size_t)packed->n_logprobs;
    float *weights = malloc(2 * n * sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        weights[i] = (float)(i % 7) - 3;
        weights[n + i] = 0.01f;
    }
    must(fv_policy_forward(c->policy, packed, FV_SAVE_INPUTS, logprobs, NULL));
    must(fv_fill(c->backend, &(fv_fill_args){.x = grads->flat}));
    must(fv_policy_backward(c->policy, weights, weights + n, grads));
    must(fv_download_now(c->backend, grads->flat, out));
    free(weights);
}

int main(int argc, char **argv)
{
    gpu_case c;
    fv_group groups[N_GROUPS];
    fv_packed packed;
    fv_weights grads;
    int times = argc > 3 ? atoi(argv[3]) : 1000, n_different = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: gpu_repeats SHAPE [BACKEND [TIMES]]\n");
        return 2;
    }
    case_open(&c, argv[1], argc > 2 ? argv[2] : "cuda");
    pack(&c, groups, &packed);
    must(fv_model_alloc_weights(c.model, FV_F32, &grads));
    size_t bytes = (size_t)fv_tensor_count(grads.flat) * sizeof(float);
    float *first = malloc(bytes), *again = malloc(bytes),
          *logprobs = malloc((size_t)packed.n_logprobs * sizeof *logprobs);
    run(&c, &packed, logprobs, &grads, first);
    for (int i = 1; i < times; i++) {
        run(&c, &packed, logprobs, &grads, again);
        n_different += memcmp(first, again, bytes) != 0;
    }
    printf("gradients of %zu numbers, %d times over %lld tokens: %d of them with other bits\n",
           bytes / sizeof(float), times, (long long)packed.run.n, n_different);
    fv_packed_fini(&packed);
    for (int g = 0; g < N_GROUPS; g++)
        fv_group_fini(&groups[g]);
    fv_model_free_weights(c.model, &grads);
    free(first);
    free(again);
    free(logprobs);
    case_close(&c);
    return n_different > 0;
}
