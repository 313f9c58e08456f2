/* Whole models: gradients against differences of the objective, what images reach, the check back end, and
 * refusals. */
#include "model_case.h"

#include <math.h>

static void open_case(model_case *c, const char *model)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    case_open(c, backend, case_self, temp_path(model));
}

static double objective(model_case *c, const float *weights, float entropy_weight)
{
    float logprobs[CASE_ROWS], entropies[CASE_ROWS];
    double sum = 0;
    case_forward(c, logprobs, entropies);
    for (int i = 0; i < CASE_ROWS; i++)
        sum += (double)weights[i] * logprobs[i] + (double)entropy_weight * entropies[i];
    return sum;
}

/* Move the weights by step times the gradient, part by part of the parameters. */
static void move(model_case *c, const fv_param *param, int i, const float *gradient, float step)
{
    const fv_layout *layout = fv_model_layout(c->model);
    fv_tensor values = fv_weights_param(fv_model_weights(c->model), layout, i);
    int64_t n = param->rows * param->cols;
    float *host = malloc((size_t)n * sizeof *host);
    assert_ok(fv_download_now(c->backend, values, host));
    for (int64_t k = 0; k < n; k++)
        host[k] += step * gradient[k];
    assert_ok(fv_upload_array(c->backend, values, host));
    free(host);
}

/* The objective's slope along the gradient of one parameter is the square of its norm. */
static void check_slope(model_case *c, int i, const float *weights, float entropy_weight)
{
    const fv_layout *layout = fv_model_layout(c->model);
    const fv_param *param = &layout->params.items[i];
    int64_t n = param->rows * param->cols;
    float *gradient = malloc((size_t)n * sizeof *gradient);
    double square = 0;
    assert_ok(fv_download_now(c->backend, fv_weights_param(&c->grads, layout, i), gradient));
    for (int64_t k = 0; k < n; k++)
        square += (double)gradient[k] * gradient[k];
    assert_true(square > 0);
    float step = (float)(0.02 / sqrt(square));
    move(c, param, i, gradient, step);
    double above = objective(c, weights, entropy_weight);
    move(c, param, i, gradient, -2 * step);
    double below = objective(c, weights, entropy_weight);
    move(c, param, i, gradient, step);
    double slope = (above - below) / (2 * (double)step);
    if (fabs(slope - square) > 0.02 * square)
        fail_msg("%s: slope %g, square of the gradient's norm %g", param->name, slope, square);
    free(gradient);
}

static void test_gradients_are_slopes(void **state)
{
    (void)state;
    const int32_t excluded[] = {3, 77, 200};
    float weights[CASE_ROWS];
    case_row_weights(weights);
    for (int m = 0; m < CASE_MODELS; m++) {
        model_case c;
        open_case(&c, case_models[m]);
        c.excluded = excluded;
        c.n_excluded = 3;
        c.inv_temperature = 1.3f;
        for (int i = 0; i < CASE_ROWS; i++) /* an excluded target has no finite log-prob */
            for (int e = 0; e < 3; e++)
                c.ids[i + 1] += c.ids[i + 1] == excluded[e];
        for (int i = m; i < fv_model_layout(c.model)->params.n; i += 7) {
            (void)objective(&c, weights, 0.01f);
            case_backward(&c, weights, 0.01f);
            check_slope(&c, i, weights, 0.01f);
        }
        case_close(&c);
    }
}

/* Images reach the log-probs of what follows them, and nothing before them. */
static void test_blanked_images(void **state)
{
    (void)state;
    model_case c;
    float seen[CASE_ROWS], blank[CASE_ROWS];
    open_case(&c, "tiny-vl");
    int32_t start_id = fv_model_shape_of(c.model)->vision_start_id;
    case_forward(&c, seen, NULL);
    for (int image = 0, at = 0; image < c.n_images; image++, at++) {
        fv_picture *kept = c.pictures[image];
        c.pictures[image] = case_blank_picture(c.grids[image]);
        case_forward(&c, blank, NULL);
        while (c.ids[at] != start_id)
            at++;
        assert_memory_equal(blank, seen, (size_t)(at + 1) * sizeof *seen);
        int after = at + 2 + (int)fv_grid_tokens(c.grids[image], 2);
        for (int i = after; i < CASE_ROWS; i++)
            assert_true(blank[i] != seen[i]);
        fv_picture_release(c.pictures[image]);
        c.pictures[image] = kept;
    }
    case_close(&c);
}

/* The model keeps to every contract, never touches tensor memory itself, and gets the same bits. */
static void test_through_the_check_back_end(void **state)
{
    (void)state;
    float weights[CASE_ROWS], logprobs[2][CASE_ROWS];
    case_row_weights(weights);
    for (int m = 0; m < CASE_MODELS; m++) {
        float *grads[2];
        for (int checked = 0; checked < 2; checked++) {
            model_case c;
            fv_backend *backend;
            assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
            if (checked)
                assert_ok(fv_backend_check_create(backend, &backend));
            case_open(&c, backend, case_self, temp_path(case_models[m]));
            size_t n = (size_t)fv_tensor_count(c.grads.flat);
            grads[checked] = malloc(n * sizeof(float));
            c.save = FV_SAVE_INPUTS;
            case_forward(&c, logprobs[checked], NULL);
            case_backward(&c, weights, 0);
            assert_ok(fv_download_now(c.backend, c.grads.flat, grads[checked]));
            if (checked)
                assert_memory_equal(grads[0], grads[1], n * sizeof(float));
            case_close(&c);
        }
        assert_memory_equal(logprobs[0], logprobs[1], sizeof *logprobs);
        free(grads[0]);
        free(grads[1]);
    }
}

static fv_err drop(void *context, int32_t id, float logprob)
{
    (void)context, (void)id, (void)logprob;
    return FV_OK;
}

static void test_refusals(void **state)
{
    (void)state;
    model_case c;
    fv_finish finish;
    open_case(&c, "tiny-vl");
    fv_generate_args good = {
        .prompt = {.ids = c.ids, .n = c.n, .grids = c.grids, .n_images = c.n_images, .pictures = c.pictures},
        .sampling = {.top_p = 1, .repetition_penalty = 1},
        .max_tokens = 1,
        .chunk = 64,
        .sink = drop};
    fv_generate_args args = good;
    assert_ok(fv_generate(c.model, &args, &finish));
    args.prompt.n = 0;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "the prompt is empty");
    args = good, args.max_tokens = 5000;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "exceed the model's 4096 positions");
    args = good, args.max_tokens = 0;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "0 new tokens");
    args = good, args.prompt.n_images = 1;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "image");
    fv_picture *narrow = case_blank_picture((fv_grid){1, 12, 18});
    args = good, args.prompt.grids = (fv_grid[]){{1, 4, 6}, {1, 12, 18}};
    args.prompt.pictures = (fv_picture *[]){c.pictures[0], narrow};
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "image tokens at 95");
    fv_picture_release(narrow);
    args = good, args.prompt.grids = (fv_grid[]){{1, 4, 6}, {1, 12, 19}};
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "image 2: a grid of 1 x 12 x 19");
    args = good, args.sampling.top_p = 0;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "top_p of 0");
    args = good, args.sampling.temperature = -1;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "a temperature of -1");
    args = good, c.ids[5] = 320;
    assert_fails(fv_generate(c.model, &args, &finish), FV_ERR_ARGUMENT, "token 5 has the id 320");
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_are_slopes),
        cmocka_unit_test(test_blanked_images),
        cmocka_unit_test(test_through_the_check_back_end),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
