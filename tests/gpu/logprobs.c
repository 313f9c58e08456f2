/* Log-probs of the rollout against those of the update, bit for bit: samples of two turns and mixed lengths,
 * with images, from 1 to 512 at once, until enough tokens were drawn.
 *
 * usage: gpu_logprobs SHAPE [BACKEND [TOKENS]] */
#include "case.h"

#include "fovea/engine/engine.h"
#include "fovea/model/nn/pages.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GROUPS = 64, MAX_SAMPLES = 16, MAX_RUNNING = 512, PACKED_GROUPS = 4 };

/* Groups and samples of each at once. */
static const int stages[][2] = {{1, 1}, {1, 2},  {3, 1},  {1, 7},  {5, 3},
                                {4, 8}, {64, 8}, {16, 4}, {8, 16}, {32, 8}};
enum { N_STAGES = sizeof stages / sizeof *stages };

typedef struct stage stage;

typedef struct sample {
    stage *in;
    int group, left,
        second; /* tokens of the turn that are left; of a second turn, which begins with an image */
    fv_response *response;
    fv_sequence *sequence;
} sample;

struct stage {
    gpu_case *c;
    fv_engine *engine;
    int first, n_groups, n_samples; /* number of the first group */
    fv_group groups[MAX_GROUPS];
    fv_sequence *prompts[MAX_GROUPS];
    fv_engine_image images[MAX_GROUPS][2];
    sample samples[MAX_GROUPS][MAX_SAMPLES];
};

static struct {
    int64_t n_tokens, n_different, n_second;
    double largest;
} found;

static fv_err look(void *context, fv_engine *engine, fv_engine_image *image)
{
    stage *s = context;
    ptrdiff_t at = (image - &s->images[0][0]) / 2;
    fv_picture *view;
    FV_TRY(case_view(s->c, &s->groups[at], image == &s->images[at][1], &view));
    fv_err err = fv_engine_see(engine, image, view);
    fv_picture_release(view);
    return err;
}

static fv_err begin_second(sample *one, fv_sequence *sequence)
{
    stage *s = one->in;
    fv_response *r = one->response;
    size_t known = r->ids.n;
    fv_engine_image *high = &s->images[one->group][1];
    case_show(s->c, &s->groups[one->group], r);
    one->left = one->second;
    one->second = 0;
    found.n_second++;
    return fv_sequence_append(sequence, r->ids.ids + known, (int64_t)(r->ids.n - known), &high, 1);
}

static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    sample *one = context;
    case_push(one->response, id, 1, logprob);
    if (--one->left > 0)
        return FV_OK;
    if (one->second > 0)
        return begin_second(one, sequence);
    fv_sequence_end(sequence);
    return FV_OK;
}

static void open_sample(stage *s, int g, int i)
{
    const fv_group *group = &s->groups[g];
    sample *one = &s->samples[g][i];
    int number = s->first + g, has_second = group->has_image && case_draw(number, i, 2, 2);
    *one = (sample){.in = s,
                    .group = g,
                    .left = 1 + case_draw(number, i, 0, CASE_TURN),
                    .second = has_second ? 1 + case_draw(number, i, 1, CASE_TURN) : 0,
                    .response = &s->groups[g].responses[i]};
    const fv_sequence_args args = {
        .parent = s->prompts[g],
        .owner = {.context = one, .generated = receive},
        .sampling = {.temperature = 0.8f,
                     .top_p = 1,
                     .repetition_penalty = 1,
                     .key = {.seed = 5, .prompt = (uint64_t)number, .sample = (uint32_t)i}}};
    must(fv_sequence_open(s->engine, &args, &one->sequence));
}

static void open_group(stage *s, int g)
{
    fv_group *group = &s->groups[g];
    fv_engine_image *shown = &s->images[g][0];
    case_group(s->c, s->first + g, s->n_samples, group);
    for (int k = 0; k < 2; k++)
        s->images[g][k] = (fv_engine_image){.grid = k ? group->high : group->low, .look = look, .context = s};
    must(fv_sequence_open(s->engine, &(fv_sequence_args){0}, &s->prompts[g]));
    must(fv_sequence_append(s->prompts[g], group->prompt.ids, (int64_t)group->prompt.n, &shown,
                            group->has_image));
    for (int i = 0; i < s->n_samples; i++)
        open_sample(s, g, i);
}

static void close_group(stage *s, int g)
{
    for (int i = 0; i < s->n_samples; i++)
        fv_sequence_close(s->samples[g][i].sequence);
    fv_sequence_close(s->prompts[g]);
    for (int k = 0; k < 2; k++)
        fv_engine_forget(s->engine, &s->images[g][k]);
}

static void roll_out(stage *s)
{
    for (int g = 0; g < s->n_groups; g++)
        open_group(s, g);
    for (int is_idle = 0; !is_idle;)
        must(fv_engine_pass(s->engine, &is_idle));
    for (int g = 0; g < s->n_groups; g++)
        close_group(s, g);
}

static void compare(const fv_response *r, const float *logprobs, int64_t *at)
{
    for (size_t t = 0; t < r->ids.n; t++) {
        if (!r->loss_mask[t])
            continue;
        float other = logprobs[(*at)++];
        found.n_tokens++;
        found.n_different += memcmp(&other, &r->logprobs[t], sizeof other) != 0;
        found.largest = fmax(found.largest, isnan(other) ? INFINITY : fabs((double)other - r->logprobs[t]));
    }
}

/* As an update does it: whole trees, some at a time. */
static void update(stage *s, int first, int n)
{
    fv_tree trees[PACKED_GROUPS];
    fv_packed packed = {0};
    int64_t at = 0;
    for (int i = 0; i < n; i++)
        trees[i] = (fv_tree){&s->groups[first + i], 0, s->n_samples};
    must(fv_packed_fill(&packed, &s->c->shape, trees, n, case_view, s->c));
    float *logprobs = malloc((size_t)packed.n_logprobs * sizeof *logprobs);
    must(fv_policy_forward(s->c->policy, &packed, FV_SAVE_INPUTS, logprobs, NULL));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < s->n_samples; k++)
            compare(&s->groups[first + i].responses[k], logprobs, &at);
    free(logprobs);
    fv_packed_fini(&packed);
}

static void run_stage(stage *s)
{
    roll_out(s);
    for (int g = 0; g < s->n_groups; g += PACKED_GROUPS)
        update(s, g, s->n_groups - g < PACKED_GROUPS ? s->n_groups - g : PACKED_GROUPS);
    for (int g = 0; g < s->n_groups; g++)
        fv_group_fini(&s->groups[g]);
    s->first += s->n_groups;
}

static fv_engine *open_engine(gpu_case *c)
{
    enum { LONGEST = 512 };
    fv_engine *engine;
    fv_engine_settings settings = {.name = "rollout",
                                   .max_running = MAX_RUNNING,
                                   .max_tokens = LONGEST,
                                   .pass_tokens = 4 * MAX_RUNNING,
                                   .cache_pages = MAX_RUNNING * 6,
                                   .max_images = 2,
                                   .excluded = c->excluded,
                                   .n_excluded = c->n_excluded};
    if (c->shape.vision.depth) {
        settings.image = c->pictures[0][1]->grid;
        settings.image_rows = 2 * MAX_GROUPS * fv_grid_tokens(settings.image, c->shape.vision.merge);
    }
    must(fv_engine_create(c->model, &settings, &engine));
    return engine;
}

int main(int argc, char **argv)
{
    static stage s;
    gpu_case c;
    int64_t wanted = argc > 3 ? atoll(argv[3]) : 100000;
    if (argc < 2) {
        fprintf(stderr, "usage: gpu_logprobs SHAPE [BACKEND [TOKENS]]\n");
        return 2;
    }
    case_open(&c, argv[1], argc > 2 ? argv[2] : "cuda");
    s = (stage){.c = &c, .engine = open_engine(&c)};
    for (int i = 0; found.n_tokens < wanted; i++) {
        s.n_groups = stages[i % N_STAGES][0];
        s.n_samples = stages[i % N_STAGES][1];
        run_stage(&s);
    }
    printf("logprob_max_diff %g over %lld tokens (%lld other bits), %lld samples with a second image, 1 to "
           "%d at "
           "once\n",
           found.largest, (long long)found.n_tokens, (long long)found.n_different, (long long)found.n_second,
           MAX_RUNNING);
    fv_engine_destroy(s.engine);
    case_close(&c);
    return found.n_different > 0;
}
