/* The vision tower's order of patches: windows of merged units, so that a window is a run of rows. */
#include "fovea/ops/ops.h"
#include "fovea/model/nn/positions.h"

#include <math.h>
#include <string.h>

/* Units along an edge of a window. */
static int window_units(const fv_vision_shape *shape)
{
    return shape->window / shape->patch / shape->merge;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

void fv_vision_plan_sizes(const fv_vision_shape *shape, const fv_grid *grids, int n, fv_vision_plan *plan)
{
    int edge = window_units(shape);
    plan->n_patches = plan->n_units = 0;
    plan->n_places = 0;
    plan->n_windows = plan->n_images = 0;
    plan->most_patches = edge * shape->merge * edge * shape->merge;
    for (int i = 0; i < n; i++) {
        int height = grids[i].h / shape->merge, width = grids[i].w / shape->merge;
        plan->n_patches += fv_grid_patches(grids[i]);
        plan->n_units += fv_grid_tokens(grids[i], shape->merge);
        plan->n_windows += grids[i].t * ceil_div(height, edge) * ceil_div(width, edge);
        plan->n_images += grids[i].t;
        plan->n_places = max(plan->n_places, max(grids[i].h, grids[i].w));
    }
}

static void write_segment(int32_t *segment, int32_t *span, int index, int64_t first, int64_t n)
{
    const int32_t fields[FV_SEGMENT_FIELDS] = {(int32_t)first, (int32_t)n, 0, index, 1, (int32_t)n};
    for (int f = 0; f < FV_SEGMENT_FIELDS; f++)
        segment[index * FV_SEGMENT_FIELDS + f] = fields[f];
    span[index * FV_SPAN_FIELDS] = (int32_t)first;
    span[index * FV_SPAN_FIELDS + 1] = (int32_t)n;
}

static int quarter_of(const fv_vision_shape *shape)
{
    return shape->hidden / shape->n_heads / 4;
}

/* theta 10000. Once for each place along an edge, as a patch has some dozens. */
static void write_turns(const fv_vision_shape *shape, fv_vision_plan *plan)
{
    int quarter = quarter_of(shape), n = plan->n_places * quarter;
    for (int k = 0; k < n; k++) {
        double angle = k / quarter * pow(10000.0, -(double)(k % quarter) / quarter);
        plan->turns[k] = (float)cos(angle);
        plan->turns[n + k] = (float)sin(angle);
    }
}

/* Axial positions: the first half of the pairs turns by the row of the patch, the second by its column. */
static void write_angles(const fv_vision_shape *shape, fv_vision_plan *plan, int64_t patch, int row,
                         int column)
{
    int quarter = quarter_of(shape);
    size_t bytes = (size_t)quarter * sizeof *plan->turns;
    float *const to[] = {plan->cos + 2 * patch * quarter, plan->sin + 2 * patch * quarter};
    for (int i = 0; i < 2; i++) {
        const float *turns = plan->turns + i * plan->n_places * quarter;
        memcpy(to[i], turns + row * quarter, bytes);
        memcpy(to[i] + quarter, turns + column * quarter, bytes);
    }
}

/* Where filling stands. */
typedef struct cursor {
    int64_t unit;       /* in the tower's order */
    int64_t image_unit; /* first unit of the frame in the processor's order */
    int window, image;
} cursor;

static void write_unit(const fv_vision_shape *shape, fv_vision_plan *plan, int64_t to, int64_t from, int row,
                       int column)
{
    int area = shape->merge * shape->merge;
    plan->unit_order[to] = (int32_t)from;
    plan->unit_places[from] = (int32_t)to;
    for (int p = 0; p < area; p++) {
        int64_t patch = to * area + p;
        plan->patch_order[patch] = (int32_t)(from * area + p);
        plan->patch_places[from * area + p] = (int32_t)patch;
        write_angles(shape, plan, patch, row * shape->merge + p / shape->merge,
                     column * shape->merge + p % shape->merge);
    }
}

/* A window of a frame of height x width units with its corner at (top, left). */
static void write_window(const fv_vision_shape *shape, fv_vision_plan *plan, cursor *at, fv_grid frame,
                         int top, int left)
{
    int edge = window_units(shape), area = shape->merge * shape->merge;
    int64_t first = at->unit;
    for (int row = top; row < top + edge && row < frame.h; row++)
        for (int column = left; column < left + edge && column < frame.w; column++)
            write_unit(shape, plan, at->unit++, at->image_unit + (int64_t)row * frame.w + column, row,
                       column);
    write_segment(plan->windows, plan->window_spans, at->window++, first * area, (at->unit - first) * area);
}

static void write_frame(const fv_vision_shape *shape, fv_vision_plan *plan, cursor *at, fv_grid frame)
{
    int edge = window_units(shape), area = shape->merge * shape->merge;
    at->image_unit = at->unit;
    for (int top = 0; top < frame.h; top += edge)
        for (int left = 0; left < frame.w; left += edge)
            write_window(shape, plan, at, frame, top, left);
    write_segment(plan->images, plan->image_spans, at->image++, at->image_unit * area,
                  (at->unit - at->image_unit) * area);
}

void fv_vision_plan_fill(const fv_vision_shape *shape, const fv_grid *grids, int n, fv_vision_plan *plan)
{
    cursor at = {0};
    write_turns(shape, plan);
    for (int i = 0; i < n; i++) {
        fv_grid frame = {1, grids[i].h / shape->merge, grids[i].w / shape->merge};
        for (int t = 0; t < grids[i].t; t++)
            write_frame(shape, plan, &at, frame);
    }
}
