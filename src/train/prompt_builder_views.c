/* The views of all rows: whether the processor leaves the two what they are meant to be, and the largest. */
#include "fovea/train/prompt_builder.h"

#include "fovea/base/log.h"

typedef struct comparison {
    int64_t n_images; /* rows with an image; of them the processor */
    int64_t n_shrunk; /* takes less than the high-resolution view, */
    int64_t n_equal;  /* so that nothing is left between the two */
    uint64_t row;     /* the first that is shrunk */
    fv_view_size high;
} comparison;

static int64_t pixels(fv_view_size size)
{
    return (int64_t)size.width * size.height;
}

/* Rows that cannot be shown at all are not its concern. */
static void compare_row(const fv_prompt_builder *builder, uint64_t row, comparison *c)
{
    const fv_processor *p = builder->processor;
    fv_view_size image, target;
    fv_view_sizes sizes;
    fv_grid low, high;
    if (fv_dataset_sizes(builder->dataset, row, &image, &target) == 0 ||
        fv_view_sizes_of(&builder->views, image, target, &sizes) != FV_OK ||
        fv_processor_grid(p, sizes.low.width, sizes.low.height, &low) != FV_OK ||
        fv_processor_grid(p, sizes.high.width, sizes.high.height, &high) != FV_OK)
        return;
    int is_shrunk = p->do_resize && pixels(sizes.high) > p->max_pixels;
    if (is_shrunk && c->n_shrunk == 0) {
        c->row = row;
        c->high = sizes.high;
    }
    c->n_images++;
    c->n_shrunk += is_shrunk;
    c->n_equal += is_shrunk && low.h == high.h && low.w == high.w;
}

/* One sentence on what was found. */
static fv_err tell(const fv_prompt_builder *builder, const char *data, const comparison *c, int is_refused)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "%s: the model's processor takes images of at most %lld pixels (max_pixels of "
        "preprocessor_config.json), but the high-resolution view of row %llu has %d x %d = %lld: of %lld "
        "rows with an image it shrinks the high-resolution view of %lld, and shows the same as both "
        "views of %lld; raise max_pixels there, or lower that of the views",
        data, (long long)builder->processor->max_pixels, (unsigned long long)c->row, c->high.width,
        c->high.height, (long long)pixels(c->high), (long long)c->n_images, (long long)c->n_shrunk,
        (long long)c->n_equal);
    if (is_refused)
        return FV_FAIL(FV_ERR_ARGUMENT, "%s", text);
    FV_LOG_ROOT(WARN, "%s", text);
    return FV_OK;
}

fv_err fv_prompt_builder_check_views(const fv_prompt_builder *builder, const char *data, int needs_two)
{
    comparison c = {0};
    if (fv_dataset_images(builder->dataset) == 0)
        return FV_OK;
    for (uint64_t row = 0; row < fv_dataset_rows(builder->dataset); row++)
        compare_row(builder, row, &c);
    return c.n_shrunk ? tell(builder, data, &c, needs_two && c.n_equal == c.n_images) : FV_OK;
}

static void enlarge(fv_grid *largest, fv_grid grid)
{
    if (largest->t == 0 || fv_grid_patches(grid) > fv_grid_patches(*largest))
        *largest = grid;
}

void fv_prompt_builder_largest(const fv_prompt_builder *builder, const uint64_t *rows, uint64_t n,
                               fv_largest_views *largest)
{
    for (uint64_t i = 0; i < n; i++) {
        fv_view_size image, target;
        fv_view_sizes sizes;
        fv_grid low, high;
        if (fv_dataset_sizes(builder->dataset, rows[i], &image, &target) == 0 ||
            fv_view_sizes_of(&builder->views, image, target, &sizes) != FV_OK ||
            fv_processor_grid(builder->processor, sizes.low.width, sizes.low.height, &low) != FV_OK ||
            fv_processor_grid(builder->processor, sizes.high.width, sizes.high.height, &high) != FV_OK)
            continue;
        enlarge(&largest->low, builder->first == FV_FIRST_HIGH ? high : low);
        enlarge(&largest->high, high);
    }
}
